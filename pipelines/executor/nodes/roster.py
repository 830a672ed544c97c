"""Which nodes of a cluster may work for a run: those that join later are looked at as they come."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.executor.nodes.compare import Needs, Probed
from pipelines.executor.nodes.examine import (
    Examined,
    examine,
    living_nodes,
    where_of,
    working_nodes,
)
from pipelines.executor.nodes.late import NodeCheck
from pipelines.executor.nodes.look import Look, look
from pipelines.executor.nodes.probe import SILENT_REMEDY, marked, question_of
from pipelines.planning.pool_sizing import Pool

_LOOKS_EVERY_S = 0.5
_LABEL = "ray.io/node-id"  # that Ray itself gives each node


@dataclass
class Roster:
    """The nodes of a run on a cluster.

    While it is open, a thread has nodes looked at that join, and those that do not fit are given no
    work from then on. A worker that Ray put there before looks around itself (`NodeCheck`).

    Attributes:
        needs: of the run.
        known: ids of those that fit.
        leave_out: is told the ids of those that do not, whenever they change.
        left_out: why others do not, by their ids.
    """

    needs: Needs
    known: frozenset[str]
    leave_out: Callable[[Iterable[str]], None]
    left_out: dict[str, str] = field(default_factory=dict)
    _check: NodeCheck | None = None
    _joined: Probed = field(default_factory=Probed)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep a mark in OUTPUT, by which nodes that join within can tell it from another."""
        with marked(self.needs) as marker:
            asked = question_of(self.needs)._replace(asked=marker, says=marker)
            here = Look(*look(asked))
            self._check = NodeCheck(uuid.uuid4().hex, self.needs, asked, here, self.known)
            self.leave_out(self.left_out)
            ended = threading.Event()
            threading.Thread(target=self._look_out, args=(ended,), daemon=True).start()
            try:
                yield
            finally:
                ended.set()
                self._check = None
                self.leave_out(())

    def _look_out(self, ended: threading.Event) -> None:
        while not ended.wait(_LOOKS_EVERY_S):
            try:
                self.update()
            except Exception:  # of a Ray that goes away: who works with it notices
                if ended.wait(_LOOKS_EVERY_S):
                    return

    def update(self) -> None:
        """Have nodes looked at that joined since."""
        with self._lock:
            check = self._check
            if check is None:
                return
            seen = {*self.known, *self.left_out}
            new = [node for node in working_nodes() if node["NodeID"] not in seen]
            if not new:
                return
            found = examine(new, self.needs, check.question, Look(*look(check.question)))
            if self._check is not None:  # else its mark went while they looked for it
                for one in found:
                    self._take_in(one)

    def _take_in(self, one: Examined) -> None:
        name = one.node["NodeID"]
        why = f"{one.silent}; {SILENT_REMEDY}" if one.silent else "".join(one.refused[:1])
        facts = one.facts()
        if why:
            self._leave_out(name, why)
            facts["left_out"] = why
        else:
            self.known |= {name}
        told = (*self._joined.warnings, *one.warnings)
        self._joined = replace(self._joined, nodes=(*self._joined.nodes, facts), warnings=told)

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = why
        told = f"{why}; this run gives that node no work"
        self._joined = replace(self._joined, warnings=(*self._joined.warnings, told))
        self.leave_out(self.left_out)

    def refused(self, why: str) -> None:
        """Take in that a worker found its node not to fit, whatever was seen there before.

        Args:
            why: what `NodeCheck.fault_here` said there.
        """
        self.update()
        with self._lock:
            first = self._check.known if self._check else self.known
            there = [node["NodeID"] for node in working_nodes() if where_of(node) in why]
            for name in set(there) - first - set(self.left_out):
                self.known -= {name}
                self._leave_out(name, why)

    def check(self) -> NodeCheck | None:
        """What workers look with; None where the roster is not open."""
        return self._check

    def joined(self) -> Probed:
        """What nodes are that joined since this was last asked."""
        with self._lock:
            found, self._joined = self._joined, Probed()
        return found

    def placement(self) -> dict[str, Any]:
        """Options of tasks and actors that keep them from nodes that are not to work.

        A node that is not yet looked at is none of them: options are those of the moment when work
        is handed out, and what waits for the first node of its kind would wait for ever.
        """
        away = ",".join(sorted(self.left_out))
        return {"label_selector": {_LABEL: f"!in({away})"}} if away else {}

    def fitting(self) -> frozenset[str]:
        """Ids of nodes that are there and fit."""
        return self.known & living_nodes()

    def only_on(self, nodes: frozenset[str]) -> dict[str, Any]:
        """Options of a task that must not meet a node which nobody has looked at: what it writes
        would be taken for written.

        Args:
            nodes: those it may meet, of `fitting`.
        """
        names = ",".join(sorted(nodes))
        return {"label_selector": {_LABEL: f"in({names})"}} if names else self.placement()

    def resources(self) -> dict[str, float]:
        """Those of nodes that are there and fit."""
        found: dict[str, float] = {}
        for node in working_nodes():
            if node["NodeID"] in self.known:
                for name, amount in node["Resources"].items():
                    found[name] = found.get(name, 0.0) + amount
        return found

    def lacks_room_for(self, pools: Iterable[Pool]) -> bool:
        """Whether some pool would wait for a node that is not there."""
        nodes = [node for node in working_nodes() if node["NodeID"] not in self.left_out]
        return not nodes or any(
            not any(_has_room(node["Resources"], pool) for node in nodes) for pool in pools
        )


def _has_room(there: Mapping[str, float], pool: Pool) -> bool:
    """Whether one actor of a pool fits on a node that has nothing else to do."""
    needs = {"CPU": pool.num_cpus, "GPU": pool.num_gpus, **pool.resources}
    return all(there.get(name, 0.0) >= amount for name, amount in needs.items())
