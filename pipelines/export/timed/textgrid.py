"""Praat's TextGrid: tiers of intervals that follow one another without gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.export.timed.cues import Cue
from pipelines.export.timed.one_line import flat_line

_HEAD = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'


def textgrid_text(tiers: Mapping[str, Sequence[Cue]], length_ms: int) -> str:
    """A file of the long form, times with three decimals, gaps as intervals without text.

    Args:
        tiers: cues in order, by the tier's name.
        length_ms: of the recording, not before the end of any cue.
    """
    whole = f"{_HEAD}xmin = 0\nxmax = {_seconds(length_ms)}\ntiers? <exists>\n"
    whole += f"size = {len(tiers)}\nitem []:\n"
    for number, (name, cues) in enumerate(tiers.items(), 1):
        intervals = _without_gaps(cues, length_ms)
        whole += (
            f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n'
            f"        xmin = 0\n        xmax = {_seconds(length_ms)}\n"
            f"        intervals: size = {len(intervals)}\n"
        )
        for place, cue in enumerate(intervals, 1):
            label = flat_line(cue.text).replace('"', '""')
            whole += (
                f"        intervals [{place}]:\n            xmin = {_seconds(cue.start_ms)}\n"
                f"            xmax = {_seconds(cue.end_ms)}\n"
                f'            text = "{label}"\n'
            )
    return whole


def is_kept_by_textgrid(text: str) -> bool:
    """Tell whether every reader gives a text back as it is."""
    return flat_line(text) == text and '"' not in text


def _without_gaps(cues: Sequence[Cue], length_ms: int) -> list[Cue]:
    filled, at_ms = [], 0
    for cue in cues:
        if cue.start_ms > at_ms:
            filled.append(Cue(at_ms, cue.start_ms, ""))
        filled.append(cue)
        at_ms = cue.end_ms
    if length_ms > at_ms:
        filled.append(Cue(at_ms, length_ms, ""))
    return filled


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03d}"
