"""Nodes that join while a run goes on: a worker there looks around before its first unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from pipelines.executor.nodes.compare import Needs, judge
from pipelines.executor.nodes.examine import where_of
from pipelines.executor.nodes.look import Look, Question, look
from uniaudio2.shown import shown

_FOUND: dict[str, str] = {}


@dataclass(frozen=True)
class NodeCheck:
    """What a worker compares its node with; it travels with the stages.

    Attributes:
        name: of this check; a process looks around once for each.
        needs: of the run.
        question: what to look at.
        here: what the driver sees.
        known: ids of nodes that need not look.
    """

    name: str
    needs: Needs
    question: Question
    here: Look
    known: frozenset[str]

    def fault_here(self) -> str:
        """Why no unit may be worked on by this process, naming its node; "" where nothing is."""
        context = ray.get_runtime_context()
        if context.get_node_id() in self.known:
            return ""
        if self.name not in _FOUND:
            _FOUND[self.name] = self.compare(_where_here(), look(self.question))
        return _FOUND[self.name]

    def compare(self, where: str, found: tuple[Any, ...]) -> str:
        """What is wrong with a node; "" for nothing.

        Args:
            where: the node, safe to show.
            found: the `Look` of it.
        """
        there = Look(*found)
        judged = judge(where, self.needs, self.here, there, there.clock_s, there.clock_s)
        return next(iter(judged.refused), "")


def _where_here() -> str:
    """This worker's node as `where_of` names it."""
    wanted = ray.get_runtime_context().get_node_id()
    node = next((node for node in ray.nodes() if node["NodeID"] == wanted), None)
    return where_of(node) if node else shown(wanted)
