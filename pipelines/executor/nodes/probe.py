"""Every node of a cluster looks at code, disks and clocks before the first unit."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.causes import RAY_JOIN, stopped
from pipelines.errors import UsageError
from pipelines.executor.nodes import look as looking
from pipelines.executor.nodes.compare import (
    CODE,
    PACKAGES,
    TOLD,
    Judgement,
    Needs,
    Probed,
    clock_of_store,
    judge,
    summary,
)
from pipelines.executor.nodes.look import Look, Question, look, size_of
from pipelines.executor.nodes.store_clock import store_ahead_s
from uniaudio2.checkpoint.native import bundled_models
from uniaudio2.shown import counted, shown

_JOINS_S = 20.0
PROBE_S = 60.0  # a worker's start on a busy node included
_REMEDY = "see whether it is well, or take it out of the cluster"
_STORE_S = 2.0
_REFUSALS_TOLD = 3
_MODEL_FILES = 1000
# what every node has, and nothing of ours runs on
_NO_WORK = ("memory", "object_store_memory", "node:", "accelerator_type:")


def probe_nodes(needs: Needs) -> Probed:
    """Refuse a cluster whose nodes would not all do the same.

    Nodes that share no disk would read nothing of INPUT, and would write the parts of OUTPUT where
    nobody looks for them; nodes of another build would give other results. All are asked at once.

    Args:
        needs: of the run.

    Raises:
        UsageError: names the node, what is wrong there and what to do.
        RunFailed: a node does not answer.
    """
    question = question_of(needs)
    ahead: list[float | None] = [None]
    clock = Thread(target=lambda: ahead.append(store_ahead_s(needs.output)), daemon=True)
    clock.start()
    with marked(needs) as marker:
        asked = question._replace(asked=marker, says=marker)
        here = Look(*look(asked))  # its own mark is there
        nodes = _working_nodes()
        answers = [f"{marker}-{number}" if marker else "" for number in range(len(nodes))]
        try:
            found = _ask(nodes, [asked._replace(answer=answer) for answer in answers])
            lost = {path for path in filter(None, answers) if not os.path.exists(path)}
        finally:
            for path in filter(None, answers):
                Path(path).unlink(missing_ok=True)
    judged = []
    for node, answer, (there, asked_s, answered_s) in zip(nodes, answers, found, strict=True):
        if answer in lost and not there.output_fault:
            there = there._replace(output_fault="what is written there does not arrive here")
        judged.append(judge(where_of(node), needs, here, there, asked_s, answered_s))
    _refuse(judged, len(nodes))
    clock.join(_STORE_S)
    warnings = [*clock_of_store(ahead[-1]), *(line for one in judged for line in one.warnings)]
    off_s = [abs(there.clock_s - answered_s) for there, _, answered_s in found]
    line = summary(needs, here, len(warnings), max(off_s, default=0.0))
    return Probed(
        tuple(_facts(node, *answer) for node, answer in zip(nodes, found, strict=True)),
        f"{counted(len(nodes), 'node')}: {line}" if nodes else "no node has joined yet",
        tuple(warnings),
    )


def question_of(needs: Needs) -> Question:
    """What nodes are asked for a run, but for the mark in OUTPUT."""
    paths = [path for place in needs.inputs if scheme_of(place) in LOCAL for path in _seen(place)]
    is_remote = "://" in needs.model and scheme_of(needs.model) not in LOCAL
    folder = "" if is_remote or needs.model in ("", *bundled_models()) else needs.model
    return Question(
        code=CODE,
        packages=PACKAGES,
        paths=tuple(dict.fromkeys(paths)),
        model=folder,
        model_files=tuple(itertools.islice(_files(folder), _MODEL_FILES)) if folder else (),
        remote_model=needs.model if is_remote else "",
    )


def _seen(place: str) -> list[str]:
    """A path and, of a folder, one thing in it: an empty folder of that name is another."""
    path = local_path(place)
    if not os.path.isdir(path):
        return [path]
    with os.scandir(path) as entries:
        return [path, *(entry.path for entry in itertools.islice(entries, 1))]


def _files(folder: str) -> Iterator[str]:
    """Files that a model is loaded from, its configuration first."""
    paths = [path for path in Path(folder).rglob("[!.]*") if path.suffix != ".md"]
    for path in sorted(paths, key=lambda path: (path.name != "config.json", path)):
        if path.is_file() and size_of(str(path)) is not None:
            yield path.relative_to(folder).as_posix()


@contextmanager
def marked(needs: Needs) -> Iterator[str]:
    """A file in a local OUTPUT that no other folder has; "" where OUTPUT is on a store."""
    if scheme_of(needs.output) not in LOCAL:
        yield ""
        return
    # named as what a driver leaves there that dies: the next run removes it
    marker = os.path.join(local_path(needs.output), "_log", f"fence-{uuid.uuid4().hex}")
    try:
        Path(marker).write_text(marker)
        yield marker
    finally:
        Path(marker).unlink(missing_ok=True)


def _working_nodes() -> list[Mapping[str, Any]]:
    """Nodes that have anything to work with; where there is none yet, it may be about to join."""
    until = time.monotonic() + _JOINS_S
    while True:
        nodes = [node for node in ray.nodes() if node["Alive"] and _works(node)]
        if nodes or time.monotonic() > until:
            return nodes
        time.sleep(0.5)


def _works(node: Mapping[str, Any]) -> bool:
    return any(
        amount and not name.startswith(_NO_WORK) for name, amount in node["Resources"].items()
    )


def where_of(node: Mapping[str, Any]) -> str:
    """A node's name and address, safe to show."""
    return f"{shown(node['NodeManagerHostname'])} ({shown(node['NodeManagerAddress'])})"


def _ask(
    nodes: list[Mapping[str, Any]], questions: list[Question]
) -> list[tuple[Look, float, float]]:
    """The answers of nodes, and when by this clock each was asked and had answered."""
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
    silent = [node for node, one in zip(nodes, references, strict=True) if one not in answered_s]
    if silent:
        raise stopped(
            RAY_JOIN,
            f"node {where_of(silent[0])} did not answer within {PROBE_S:.0f} s"
            f"{_and_more(len(silent) - 1, len(nodes))}",
            _REMEDY,
        )
    return [
        (_answer(node, one), asked_s, answered_s[one])
        for node, one in zip(nodes, references, strict=True)
    ]


def _answer(node: Mapping[str, Any], reference: Any) -> Look:
    try:
        return Look(*ray.get(reference))
    except RayError as fault:
        lines = str(fault).strip().splitlines() or [type(fault).__name__]
        what = f"node {where_of(node)} could not be asked: {shown(lines[-1])}"
        raise stopped(RAY_JOIN, what, _REMEDY) from fault


def _refuse(judged: list[Judgement], nodes: int) -> None:
    """Raise what is refused, a few of it."""
    refused = [line for one in judged for line in one.refused[:1]]
    if refused:
        more = _and_more(len(refused) - _REFUSALS_TOLD, nodes)
        raise UsageError("; ".join(refused[:_REFUSALS_TOLD]) + more)


def _and_more(count: int, nodes: int) -> str:
    return f" (and {count} more of {nodes} nodes)" if count > 0 else ""


def _facts(
    node: Mapping[str, Any], there: Look, asked_s: float, answered_s: float
) -> dict[str, Any]:
    """A node in ``run.json``."""
    del asked_s
    return {
        "id": node["NodeID"],
        "host": str(node["NodeManagerHostname"]),
        "address": str(node["NodeManagerAddress"]),
        "cpus": node["Resources"].get("CPU", 0.0),
        "gpus": node["Resources"].get("GPU", 0.0),
        "versions": {name: there.versions.get(name, "") for name in (*PACKAGES, TOLD[0])},
        "code": there.code,
        "clock_ahead_s": round(there.clock_s - answered_s, 2),
        "free_disk_bytes": there.free_bytes,
        "free_memory_bytes": there.memory_bytes,
    }
