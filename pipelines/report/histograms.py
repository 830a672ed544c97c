"""Histograms of a run's rows: how durations, lengths and real-time factors are spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from actors.batch.names import DURATION_S, INPUT_DURATION_S, REASON_CODES, RECON_CODES
from pipelines.report.pictures import bars_path
from pipelines.report.rows import RowFacts
from pipelines.report.stages import StageLog
from uniaudio2.scores.table import SCORERS

_BINS = 24
_NUMBERS = {
    INPUT_DURATION_S: ("duration of input", "s"),
    DURATION_S: ("duration of output", "s"),
    REASON_CODES: ("reasoning frames a row", ""),
    RECON_CODES: ("reconstruction frames a row", ""),
    **{
        column.name: (f"{scorer.name}: {column.meaning}", column.unit)
        for scorer in SCORERS.values()
        for column in scorer.columns
    },
}


@dataclass(frozen=True)
class Histogram:
    """Values of one kind: the path of its bars, its ends, and figures in words."""

    title: str
    path: Markup
    left: str
    right: str
    words: str


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def histogram(title: str, values: Sequence[float], unit: str = "") -> Histogram:
    """Bars of how often values occur, up to the 99th percentile; the rest is counted in words."""
    numbers = np.array(values, dtype=np.float64)
    low, top = float(numbers.min()), float(np.percentile(numbers, 99))
    low = 0.0 if low < top / 3 else low
    top = max(top, low + 1e-9, float(numbers.max()) if len(numbers) < 100 else 0.0)
    counts, _ = np.histogram(np.clip(numbers, low, top), _BINS, (low, top))
    mark = f" {unit}" if unit else ""
    middle, mean = float(np.median(numbers)), float(numbers.mean())
    words = f"median {_short(middle)}{mark}, mean {_short(mean)}{mark}"
    largest = float(numbers.max())
    if largest > top:
        words += f", largest {_short(largest)}{mark} (the last bar holds all from there on)"
    return Histogram(
        title, bars_path(counts.tolist()), f"{_short(low)}{mark}", f"{_short(top)}{mark}", words
    )


def histograms(facts: RowFacts, log: StageLog) -> list[Histogram]:
    made = [
        histogram(title, facts.numbers[name], unit)
        for name, (title, unit) in _NUMBERS.items()
        if len(facts.numbers.get(name, ()))
    ]
    if len(log.real_time_factors):
        made.append(histogram("real-time factor of units", log.real_time_factors))
    return made
