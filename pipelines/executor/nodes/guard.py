"""Nodes that join while a run is at work look around before they work."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

import ray

from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.executor.nodes.compare import Needs, judge
from pipelines.executor.nodes.look import Look, Question, look
from pipelines.executor.nodes.probe import question_of

_DRIVER = "_log/driver.json"  # the lease, which names its holder for as long as a run lasts


@dataclass(frozen=True)
class NodeGuard:
    """What a process on any node asks of that node, once, before its first call.

    Attributes:
        needs: of the run.
        question: what nodes are asked.
        here: what the driver sees; a tuple of pairs where `Look` has dictionaries.
        probed: ids of the nodes that were looked at before the run.
    """

    needs: Needs
    question: Question
    here: Look
    probed: frozenset[str]

    @staticmethod
    def of(needs: Needs, probed: frozenset[str]) -> NodeGuard:
        """The guard of a run, made by its driver."""
        question = question_of(needs)
        if scheme_of(needs.output) in LOCAL and needs.driver:
            marker = os.path.join(local_path(needs.output), _DRIVER)
            question = question._replace(asked=marker, says=needs.driver)
        return NodeGuard(needs, question, Look(*look(question)), probed)

    def misfit(self) -> tuple[str, str]:
        """The id of this process's node and why it must not work; two empty texts where it may."""
        return _misfit(_Once(self))


class _Once:
    """A guard as a key: any of one run is as good as another."""

    def __init__(self, guard: NodeGuard) -> None:
        self.guard = guard

    def __hash__(self) -> int:
        return hash(self.guard.question)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self.guard == other.guard


@functools.lru_cache(maxsize=4)
def _misfit(once: _Once) -> tuple[str, str]:
    guard, context = once.guard, ray.get_runtime_context()
    node = context.get_node_id()
    if node in guard.probed:
        return "", ""
    there = Look(*look(guard.question))
    now = time.time()
    where = f"{os.uname().nodename}, which joined during the run,"
    judged = judge(where, guard.needs, guard.here, there, now, now)
    return (node, judged.refused[0]) if judged.refused else ("", "")
