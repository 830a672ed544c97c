"""Find the stage that limits a run, and the setting that would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.executor.stage_monitor import TASK_STAGES
from pipelines.report.stages import StageUsage, Timeline, stage_order

_IDLE_SHARE = 0.5


@dataclass(frozen=True)
class Bottleneck:
    """The stage that limits a run.

    Attributes:
        stage: its name.
        words: what was seen, and which setting widens it.
        setting: that setting, as ``--set`` takes it; "" when none would help.
    """

    stage: str
    words: str
    setting: str


def find_bottleneck(timeline: Timeline, setup: Mapping[str, Any]) -> Bottleneck:
    """Name the stage that worked the largest share of its time, and what would widen it."""
    limit = max(timeline.stages, key=lambda use: use.utilisation)
    others = [use for use in timeline.stages if use is not limit]
    share = f"{limit.utilisation:.0%}"
    seen = f"{limit.name} worked {share} of the time"
    after = [use.name for use in others if stage_order(use.name) > stage_order(limit.name)]
    before = [use.name for use in others if stage_order(use.name) < stage_order(limit.name)]
    if limit.utilisation < _IDLE_SHARE:
        return Bottleneck(
            limit.name,
            f"No stage limited this run: the busiest, {limit.name}, worked {share} of the time. "
            "The rest went into starting, and into waiting for single units; more rows, or smaller "
            "units (unit_rows), keep the stages busier.",
            "",
        )
    starved = f" {_listed(after)} starved behind it" if after else ""
    blocked = f" {_listed(before)} could have gone on sooner" if before else ""
    effect = f";{starved}{' and' if starved and blocked else ''}{blocked}" if others else ""
    words, setting = _remedy(limit, setup)
    return Bottleneck(
        limit.name, f"{limit.name} is the bottleneck: it {seen[len(limit.name) + 1 :]}{effect}. "
        f"{words}", setting,
    )  # fmt: skip


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _remedy(limit: StageUsage, setup: Mapping[str, Any]) -> tuple[str, str]:
    """Advice that makes a stage faster, in words and as a setting."""
    if limit.name in TASK_STAGES:
        return (
            "It runs as tasks on the CPUs that the pools leave free: give the pools fewer "
            "(their num_cpus), or the cluster more; "
            + ("a nearer storage helps most when files are small." if limit.name == "load" else ""),
            "load.num_cpus=0.25",
        )
    pools = {pool["name"]: pool for pool in setup.get("pools", ())}
    pool = pools.get(limit.name, {})
    more = max(int(limit.workers), 1) + 1
    setting = f"{limit.name}.min_size={more}"
    if setup.get("gpus", 0.0) == 0 and pool:
        return (
            f"It has {limit.workers:g} "
            f"actor{'s' if limit.workers > 1 else ''} of {pool['num_cpus']:g} CPUs "
            f"and no GPU: a GPU widens it most; more CPUs do too ({limit.name}.num_cpus for one "
            f"actor, {limit.name}.min_size for more of them).",
            setting,
        )
    return (
        f"Give it more actors ({limit.name}.min_size, {limit.name}.max_size) if the cluster has "
        f"room, or larger batches ({limit.name}.batch) if its GPUs have memory.",
        setting,
    )
