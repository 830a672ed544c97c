"""Subtitles: SubRip (``.srt``) and WebVTT (``.vtt``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.export.timed.cues import Cue
from pipelines.export.timed.one_line import flat_line

# what some reader takes for markup, an escape, or the end of a cue
_SRT_SIGNS = re.compile(r"[<{\\]|-->")
_VTT_SIGNS = re.compile(r"[&<>{\\]")


def srt_text(cues: Sequence[Cue]) -> str:
    """A file of SubRip; the format has no escapes, so texts stand as they are, in one line."""
    return "".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        f"{flat_line(cue.text)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def vtt_text(cues: Sequence[Cue]) -> str:
    """A file of WebVTT; ``&``, ``<`` and ``>`` are escaped as its standard has it."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_escaped(cue.text)}\n\n"
        for cue in cues
    )


def _escaped(text: str) -> str:
    plain = flat_line(text).replace("&", "&amp;")
    return plain.replace("<", "&lt;").replace(">", "&gt;")


def is_kept_by_srt(text: str) -> bool:
    """Tell whether every reader gives a text back as it is."""
    return flat_line(text) == text and not _SRT_SIGNS.search(text)


def is_kept_by_vtt(text: str) -> bool:
    """Tell whether every reader gives a text back as it is, those that leave escapes included."""
    return flat_line(text) == text and not _VTT_SIGNS.search(text)


def _clock(at_ms: int, point: str) -> str:
    seconds, thousandths = divmod(at_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{thousandths:03d}"
