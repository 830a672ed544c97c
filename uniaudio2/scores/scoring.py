"""Scores of rows: every scorer by itself, so that one that fails costs its own columns alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from uniaudio2.runtime.memory_budget import is_out_of_memory
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.own import composed_value
from uniaudio2.scores.spec import Absent, Input, Score, Scorer
from uniaudio2.shown import shown

_MESSAGE = 200
_NOTHING: dict[Input, str] = {
    "sound": "the row has no sound",
    "text": "the row has no text",
    "transcript": "nothing was transcribed",
    "any text": "the row has no text",
    "reference": "the row has no reference recording",
    "tokens": "no token was drawn",
}


@dataclass(frozen=True)
class RowScores:
    """Scores of one row.

    Attributes:
        values: by column; all finite.
        reasons: of the columns that have none, why not.
    """

    values: dict[str, float]
    reasons: dict[str, str]


class Scoring:
    """Scorers, built and ready.

    Args:
        scorers: rows of the table.
        threads: rows that are scored side by side, each on a thread of its own.

    Raises:
        Exception: a scorer cannot be built: a package is missing, or a file of it.
    """

    def __init__(self, scorers: Sequence[Scorer], threads: int = 1) -> None:
        self.scorers = [(scorer, scorer.make()) for scorer in scorers]
        self.threads = threads

    def __call__(self, rows: Sequence[Heard]) -> list[RowScores]:
        """Score rows; what comes of one does not depend on those beside it.

        Raises:
            MemoryError: there is none left, whatever the row.
        """
        with ThreadPoolExecutor(max(self.threads, 1)) as pool:
            return list(pool.map(self.score, rows))

    def score(self, row: Heard) -> RowScores:
        """Score one row."""
        found = RowScores({}, {})
        for scorer, score in self.scorers:
            columns = [column.name for column in scorer.columns]
            results = (
                dict.fromkeys(columns, composed_value(scorer.value, found.values, found.reasons))
                if scorer.value
                else _results(scorer, score, row, columns)
            )
            for name, value in results.items():
                if isinstance(value, Absent):
                    found.reasons[name] = value.reason
                elif not math.isfinite(value):
                    found.reasons[name] = f"the scorer gave {value}"
                else:
                    found.values[name] = float(value)
        return found


def _results(
    scorer: Scorer, score: Score, row: Heard, columns: Sequence[str]
) -> dict[str, float | Absent]:
    """Numbers or reasons, for all columns of a scorer."""
    there = {
        "sound": row.wave is not None,
        "text": row.text is not None,
        "transcript": row.transcript is not None,
        "any text": row.said is not None,
        "reference": row.reference is not None,
        "tokens": row.mean_logprob is not None,
    }
    for one in scorer.inputs:
        if not there[one]:
            return dict.fromkeys(columns, Absent(_NOTHING[one]))
    try:
        found = score(row)
    except Absent as absent:
        return dict.fromkeys(columns, absent)
    except Exception as fault:
        if is_out_of_memory(fault):
            raise
        return dict.fromkeys(columns, Absent(_told(fault)))
    return {name: found.get(name, Absent("the scorer gave nothing")) for name in columns}


def _told(fault: Exception) -> str:
    """What a scorer raised, in a line."""
    lines = str(fault).strip().splitlines() or [""]
    return f"{type(fault).__name__}: {shown(lines[0], _MESSAGE)}"
