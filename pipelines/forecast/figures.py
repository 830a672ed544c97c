"""From the units of a probe to the figures of a run, each with its range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.config.job import JobConfig
from pipelines.forecast.pools import Setup, steady_wall_s
from pipelines.forecast.probe import Probe, Probed
from pipelines.forecast.requests import requests_of

_RESAMPLED = 400
# Student's t for 95 % on both sides, by degrees of freedom; beyond them it is close to the last
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201)


@dataclass(frozen=True)
class Left:
    """What of a plan is to be done.

    Attributes:
        rows: of it.
        units: that they are in.
        row_s: seconds of audio of the average row by its columns; 0 where these do not tell.
    """

    rows: int
    units: int
    row_s: float = 0.0


@dataclass(frozen=True)
class Prices:
    """US dollars, or whatever they are given in; None leaves a figure out."""

    gpu_hour: float | None = None
    cpu_hour: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A figure of a run.

    Attributes:
        value: what is expected.
        low: lower end of its range.
        high: upper end.
    """

    value: float
    low: float
    high: float


def estimated(
    units: Sequence[Probed], figures: Callable[[Sequence[Probed]], Mapping[str, float]]
) -> dict[str, Estimate]:
    """Figures with ranges of 95 %: units drawn anew with replacement, from a fixed seed, give a
    standard error (bootstrap), and Student's t for so few units the width.

    The range tells of rows that differ. Of one unit there is none: it is as wide as the figure.

    Args:
        units: of a probe.
        figures: by name, of any number of such units.
    """
    values = figures(units)
    if len(units) < 2:
        return {name: Estimate(value, 0.0, 2 * value) for name, value in values.items()}
    draws = np.random.default_rng(0).integers(0, len(units), (_RESAMPLED, len(units)))
    drawn = [figures([units[place] for place in places]) for places in draws.tolist()]
    # drawing with replacement has less spread than the units have
    few = (len(units) / (len(units) - 1)) ** 0.5
    width = few * _STUDENT[min(len(units) - 1, len(_STUDENT)) - 1]
    found = {}
    for name, value in values.items():
        error = width * float(np.std([one.get(name, 0.0) for one in drawn]))
        found[name] = Estimate(value, max(value - error, 0.0), value + error)
    return found


def stage_work(units: Sequence[Probed], left: Left, attempts: int = 1) -> dict[str, float]:
    """Seconds of work of each stage over all rows that are left.

    Args:
        units: of a probe.
        left: what is to be done.
        attempts: most draws of a row, of a job that has a rule.
    """
    again = sum(unit.unverified for unit in units) / sum(unit.rows for unit in units)
    draws = sum(again**number for number in range(attempts))
    names = dict.fromkeys(name for unit in units for name in unit.busy_s)
    scale = scale_of(units, left) * draws
    return {name: scale * sum(unit.busy_s.get(name, 0.0) for unit in units) for name in names}


def scale_of(units: Sequence[Probed], left: Left) -> float:
    """How many times the work of a probe's units is to be done: by seconds of audio where columns
    tell them, else by rows."""
    told_s = sum(unit.told_s for unit in units)
    if left.row_s > 0 and all(unit.told_s > 0 for unit in units):
        return left.rows * left.row_s / told_s
    return left.rows / sum(unit.rows for unit in units)


def start_s(probe: Probe, setup: Setup, work: Mapping[str, float], left: Left) -> float:
    """Seconds before work is steady: workers and models start, and first calls take longer."""
    steady_s = probe.first_rows * sum(work.values()) / max(left.rows, 1)
    return probe.begin_s + max(probe.first_s - steady_s, 0.0) / setup.workers


def figures_of(
    units: Sequence[Probed], probe: Probe, left: Left, setup: Setup, job: JobConfig, prices: Prices
) -> dict[str, float]:
    """Figures of a run by name; those of a stage begin with its name.

    Args:
        units: of the probe, or some of them.
        probe: all of it.
        left: what is to be done.
        setup: what does it.
        job: of the run.
        prices: of machines.
    """
    scale, rows = scale_of(units, left), sum(unit.rows for unit in units)
    by_rows = left.rows / rows
    work = stage_work(units, left, job.verify.attempts)
    begin_s = start_s(probe, setup, work, left)
    wall_s = begin_s + steady_wall_s(setup, work, left.units)
    errors = by_rows * sum(unit.errors for unit in units)
    input_s = scale * sum(unit.input_s for unit in units)
    output_s = scale * sum(unit.output_s for unit in units)
    # a unit has one data part, however many rows that has; what is beyond it are sounds
    sounds = by_rows * sum(max(unit.objects - 1, 0) for unit in units)
    objects = left.units + (sounds if job.audio_layout == "files" else left.units * (output_s > 0))
    parts = scale * sum(unit.part_bytes for unit in units)
    asked = requests_of(job, left.rows, left.units, objects, parts, wall_s)
    hours = {name: setup.resources.get(name, 0.0) * wall_s / 3600 for name in ("GPU", "CPU")}
    figures = {
        "ok": left.rows - errors,
        "errors": errors,
        "input_hours": input_s / 3600,
        "output_hours": output_s / 3600,
        "bytes": scale * sum(unit.bytes for unit in units),
        "tokens": scale * sum(unit.tokens for unit in units),
        "start_s": begin_s,
        "wall_s": wall_s,
        "gpu_hours": hours["GPU"],
        "cpu_hours": hours["CPU"],
        "puts": asked.puts,
        "other_requests": asked.others,
        "audio_gets": asked.gets,
        "requests_price": asked.price,
    }
    if prices.gpu_hour is not None:
        figures["gpu_price"] = hours["GPU"] * prices.gpu_hour
    if prices.cpu_hour is not None:
        figures["cpu_price"] = hours["CPU"] * prices.cpu_hour
    figures["price"] = sum(value for name, value in figures.items() if name.endswith("_price"))
    return figures | _of_stages(work, left, max(input_s, output_s))


def _of_stages(work: Mapping[str, float], left: Left, audio_s: float) -> dict[str, float]:
    """Figures of each stage: its work over all rows, per row, and per second of audio."""
    figures = {}
    for name, seconds in work.items():
        figures[f"{name}.busy_s"] = seconds
        figures[f"{name}.busy_s_per_row"] = seconds / left.rows
        if audio_s:
            figures[f"{name}.busy_s_per_audio_s"] = seconds / audio_s
    return figures
