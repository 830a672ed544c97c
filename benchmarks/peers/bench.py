"""``python -m benchmarks peers [--rows N]``: this project beside what others offer for the same."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers import language_models, pipelines

_ROWS, _QUICK_ROWS = 1000, 96
_ROUNDS, _QUICK_ROUNDS = 3, 1


def run(quick: bool, rows: int | None = None) -> Mapping[str, float]:
    """Measure and print; returns the figures by name.

    Args:
        quick: fewer steps, rows and rounds.
        rows: clips that are transcribed; None takes a thousand, or a tenth where it is quick.
    """
    figures = language_models.run(quick)
    clips = rows or (_QUICK_ROWS if quick else _ROWS)
    return {**figures, **pipelines.run(clips, _QUICK_ROUNDS if quick else _ROUNDS)}
