"""What nodes see, held against what the driver sees: what is refused, and what is only told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.executor.nodes.look import Look
from uniaudio2.shown import counted, quoted, shown

CODE = ("uniaudio2", "actors", "pipelines")
OURS = "uniaudio2-batch"
# what computes a row: another version gives other tokens
SAME = ("torch", "torchaudio", "transformers")
# what only carries rows, or reads the same from the same file
TOLD = ("python", "ray", "pyarrow", "numpy", "av", "soundfile")
PACKAGES = (OURS, *SAME, *TOLD[1:])
CLOCK_S = 2.0
STORES_LIMIT_S = 900.0  # S3 refuses requests whose time is further from its own
_LEAST_BYTES = 1 << 30
_RAYS_FULL = 0.95  # Ray moves no objects to a disk that is fuller


@dataclass(frozen=True)
class Needs:
    """What a run needs of every node.

    Attributes:
        output: OUTPUT of the run, which is there.
        inputs: local files and folders of INPUT that are read where stages run.
        model: the model, as workers are told it; "" for none.
    """

    output: str
    inputs: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class Judgement:
    """What came of comparing one node, each a sentence that names it.

    Attributes:
        refused: it must not work.
        warnings: it may.
    """

    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probed:
    """What is known of the nodes of a run.

    Attributes:
        nodes: facts of each, for ``run.json``.
        line: what all have in common; "" where nothing was asked.
        warnings: what a user should know, a sentence each.
    """

    nodes: tuple[dict[str, Any], ...] = ()
    line: str = ""
    warnings: tuple[str, ...] = ()


def judge(
    where: str, needs: Needs, here: Look, there: Look, asked_s: float, answered_s: float
) -> Judgement:
    """Compare a node with the driver.

    Args:
        where: the node, safe to show.
        needs: of the run.
        here: what the driver sees.
        there: what the node sees.
        asked_s: by the driver's clock, when the node was asked.
        answered_s: and when its answer was here.
    """
    refused = [*_code(where, here, there), *_places(where, needs, here, there)]
    warnings = [
        *_versions(where, here, there),
        *_clock(where, there.clock_s, asked_s, answered_s),
        *_room(where, needs, here, there),
    ]
    return Judgement(tuple(refused), tuple(warnings))


def _code(where: str, here: Look, there: Look) -> list[str]:
    remedy = "results would depend on the node that computes them; install the same on every node"
    if not there.code:
        return [
            f"node {where} has no UniAudio2 Batch, or not all of it; install this process's "
            f"{_build(here)} there"
        ]
    if there.code != here.code:
        return [
            f"node {where} has another UniAudio2 Batch, {_build(there)}, than this process, "
            f"{_build(here)}: {remedy}"
        ]
    return [
        f"node {where} has {name} {shown(there.versions.get(name) or 'not at all')}, and this "
        f"process {here.versions[name]}: {remedy}"
        for name in SAME
        if _release(there.versions.get(name, "")) != _release(here.versions[name])
    ]


def _build(look: Look) -> str:
    return f"{shown(look.versions.get(OURS) or 'a checkout')} (code {shown(look.code)})"


def _release(version: str) -> str:
    """A version without what names its build, such as ``+cu128``: nodes have GPUs or not."""
    return version.partition("+")[0]


def _versions(where: str, here: Look, there: Look) -> list[str]:
    other = [
        f"{name} {shown(there.versions.get(name) or 'not at all')} (here {here.versions[name]})"
        for name in TOLD
        if there.versions.get(name) != here.versions.get(name)
    ]
    return [f"node {where} has {', '.join(other)}"] if other else []


def _places(where: str, needs: Needs, here: Look, there: Look) -> list[str]:
    found = []
    if there.output_fault:
        found.append(
            f"OUTPUT {quoted(needs.output)} is another folder on node {where} than here, or none "
            f"({shown(there.output_fault)}): results would be lost; give a folder that all nodes "
            "share, or a store such as s3://bucket/folder"
        )
    path = next((path for path in here.sizes if there.sizes.get(path) != here.sizes[path]), None)
    if path is not None:
        found.append(
            f"INPUT {quoted(path)} is not on node {where} as it is here; put it where all nodes "
            "find it under this path, or into a store such as s3://bucket/folder"
        )
    name = next((name for name in here.model if there.model.get(name) != here.model[name]), None)
    if name is not None:
        how = "differs there" if there.model.get(name) else "is not there or cannot be read"
        found.append(
            f"model {quoted(needs.model)} is not on node {where} as it is here ({quoted(name)} "
            f"{how}); put the same folder where all nodes find it under this path, absolute, or "
            "name it by an hf:// or s3:// address"
        )
    if there.model_fault:
        found.append(
            f"model {quoted(needs.model)} cannot be had on node {where}: "
            f"{shown(there.model_fault)}; open the way to it, or put it into a folder that all "
            "nodes share"
        )
    return found


def _clock(where: str, clock_s: float, asked_s: float, answered_s: float) -> list[str]:
    ahead_s, behind_s = clock_s - answered_s, asked_s - clock_s  # at least
    if max(ahead_s, behind_s) < CLOCK_S:
        return []
    how = "ahead of" if ahead_s > behind_s else "behind"
    return [
        f"the clock of node {where} is {max(ahead_s, behind_s):.0f} s {how} this machine's: times "
        "of stages in the report and the time left are wrong by as much, and S3 refuses requests "
        "from 900 s on; set it (`chronyc tracking` tells)"
    ]


def _room(where: str, needs: Needs, here: Look, there: Look) -> list[str]:
    found = []
    kinds = {"output": f"OUTPUT {quoted(needs.output)}", "tmp": "its temporary files"}
    for kind, what in kinds.items():
        free = there.free_bytes.get(kind, _LEAST_BYTES)
        if free < _LEAST_BYTES:
            found.append(f"node {where} has {free >> 20} MB of disk free for {what}")
    if there.full.get("ray", 0.0) > _RAYS_FULL:
        found.append(
            f"node {where}: the disk of Ray's folder is {there.full['ray']:.0%} full, and Ray "
            f"moves nothing to disk from {_RAYS_FULL:.0%} on; make room, or start that node with "
            "--temp-dir on another disk"
        )
    weights = sum(int(mark.partition(":")[0]) for mark in here.model.values() if mark)
    if weights > there.memory_bytes > 0:
        found.append(
            f"node {where} has {there.memory_bytes / 1e9:.1f} GB of memory free, and the files of "
            f"model {quoted(needs.model)}, which each worker of it loads, {weights / 1e9:.1f} GB"
        )
    return found


def clock_of_store(ahead_s: float | None) -> list[str]:
    """What to tell of this machine's clock beside a store's.

    Args:
        ahead_s: of the store's; None where it did not tell.
    """
    if ahead_s is None or abs(ahead_s) < STORES_LIMIT_S / 3:
        return []
    how = "ahead of" if ahead_s > 0 else "behind"
    return [
        f"this machine's clock is {abs(ahead_s):.0f} s {how} the store's: S3 refuses requests from "
        "900 s on (RequestTimeTooSkewed); set it (`chronyc tracking` tells)"
    ]


def summary(needs: Needs, here: Look, warnings: int, most_s: float) -> str:
    """What all nodes have in common, as the end of a line.

    Args:
        needs: of the run.
        here: what the driver sees.
        warnings: how many there are.
        most_s: by how much a clock may differ from the driver's, as far as is known.
    """
    same = ["same code"]
    places = {"INPUT": here.sizes, "OUTPUT": "output" in here.free_bytes, "model": here.model}
    shared = [name for name, is_there in places.items() if is_there]
    if shared:
        *most, last = shared
        same.append(f"{', '.join(most)} and {last} there" if most else f"{last} there")
    same.append(f"clocks within {max(most_s, 0.1):.1f} s")
    return ", ".join(same) + (f"; {counted(warnings, 'warning')}" if warnings else "")
