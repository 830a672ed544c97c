"""Looks at nodes of a cluster, all at once, and compares what they see with what is seen here."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.executor.nodes import look as looking
from pipelines.executor.nodes.compare import PACKAGES, TOLD, Needs, judge
from pipelines.executor.nodes.look import Look, Question, look
from uniaudio2.shown import shown

PROBE_S = 60.0  # a worker's start on a busy node included
# what every node has, and nothing of ours runs on
_NO_WORK = ("memory", "object_store_memory", "node:", "accelerator_type:")


@dataclass(frozen=True)
class Examined:
    """What came of looking at a node.

    Attributes:
        node: of `ray.nodes`.
        silent: why it could not be looked at, naming it; "" where it could.
        refused: why it must not work, a sentence each.
        warnings: what else a user should know, a sentence each.
        look: what it sees; None where it is silent.
        answered_s: when its answer was here, by this machine's clock.
    """

    node: Mapping[str, Any]
    silent: str = ""
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    look: Look | None = None
    answered_s: float = 0.0

    def facts(self) -> dict[str, Any]:
        """The node in ``run.json``."""
        facts = {
            "id": self.node["NodeID"],
            "host": str(self.node["NodeManagerHostname"]),
            "address": str(self.node["NodeManagerAddress"]),
            "cpus": self.node["Resources"].get("CPU", 0.0),
            "gpus": self.node["Resources"].get("GPU", 0.0),
        }
        if self.look is None:
            return facts
        versions = self.look.versions
        return facts | {
            "versions": {name: versions.get(name, "") for name in (*PACKAGES, TOLD[0])},
            "code": self.look.code,
            "clock_ahead_s": round(self.look.clock_s - self.answered_s, 2),
            "free_disk_bytes": self.look.free_bytes,
            "free_memory_bytes": self.look.memory_bytes,
        }


def examine(
    nodes: Sequence[Mapping[str, Any]], needs: Needs, asked: Question, here: Look
) -> list[Examined]:
    """Have nodes look around, all at once, and compare what they see.

    Args:
        nodes: of `ray.nodes`.
        needs: of the run.
        asked: what they are asked; its mark is there.
        here: what the driver sees.

    Returns:
        what came of each, in their order.
    """
    marker = f"{asked.asked}-{uuid.uuid4().hex[:8]}" if asked.asked else ""
    answers = [f"{marker}-{number}" if marker else "" for number in range(len(nodes))]
    try:
        found = _ask(nodes, [asked._replace(answer=answer) for answer in answers])
        lost = {path for path in filter(None, answers) if not os.path.exists(path)}
    finally:
        for path in filter(None, answers):
            Path(path).unlink(missing_ok=True)
    examined = []
    for node, answer, (there, asked_s, answered_s) in zip(nodes, answers, found, strict=True):
        if isinstance(there, str):
            examined.append(Examined(node, there))
            continue
        if answer in lost and not there.output_fault:
            there = there._replace(output_fault="what is written there does not arrive here")
        judged = judge(where_of(node), needs, here, there, asked_s, answered_s)
        examined.append(Examined(node, "", judged.refused, judged.warnings, there, answered_s))
    return examined


def living_nodes() -> frozenset[str]:
    """Ids of all nodes that are there."""
    return frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])


def working_nodes() -> list[Mapping[str, Any]]:
    """Nodes that are there and have anything to work with."""
    return [node for node in ray.nodes() if node["Alive"] and _works(node)]


def _works(node: Mapping[str, Any]) -> bool:
    return any(
        amount and not name.startswith(_NO_WORK) for name, amount in node["Resources"].items()
    )


def where_of(node: Mapping[str, Any]) -> str:
    """A node's name and address, safe to show."""
    return f"{shown(node['NodeManagerHostname'])} ({shown(node['NodeManagerAddress'])})"


def _ask(
    nodes: Sequence[Mapping[str, Any]], questions: Sequence[Question]
) -> list[tuple[Look | str, float, float]]:
    """The answers of nodes, or why there is none, and when by this clock each was asked and had
    answered."""
    cloudpickle.register_pickle_by_value(looking)
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(look)
        asked_s = time.time()
        references = [
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(tuple(question))
            for node, question in zip(nodes, questions, strict=True)
        ]
    finally:
        cloudpickle.unregister_pickle_by_value(looking)
    answered_s: dict[Any, float] = {}
    waiting, until = references, time.monotonic() + PROBE_S
    while waiting and time.monotonic() < until:
        done, waiting = ray.wait(waiting, timeout=max(until - time.monotonic(), 0.0))
        answered_s.update(dict.fromkeys(done, time.time()))
    return [
        (_answer(node, one), asked_s, answered_s[one])
        if one in answered_s
        else (f"node {where_of(node)} did not answer within {PROBE_S:.0f} s", asked_s, asked_s)
        for node, one in zip(nodes, references, strict=True)
    ]


def _answer(node: Mapping[str, Any], reference: Any) -> Look | str:
    try:
        return Look(*ray.get(reference))
    except RayError as fault:
        lines = str(fault).strip().splitlines() or [type(fault).__name__]
        return f"node {where_of(node)} could not be asked: {shown(lines[-1])}"
