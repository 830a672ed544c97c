"""What is said when, in whole milliseconds, as the columns of results tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from actors.batch.names import INPUT_DURATION_S, SEGMENTS, SPANS, WORDS
from uniaudio2.errors import BadRow

TIMED = (WORDS, SEGMENTS, SPANS)
_LONGEST_S = 1e7


@dataclass(frozen=True)
class Cue:
    """A piece of text with its time.

    Attributes:
        start_ms: when it begins.
        end_ms: when it ends, later.
        text: it.
        confidence: how probable it is, 0 to 1; None where that is not told.
    """

    start_ms: int
    end_ms: int
    text: str
    confidence: float | None = None


def segments_of(facts: Mapping[str, Any]) -> list[Cue]:
    """The segments of a row, as long as subtitles; where it has none, its spans.

    Raises:
        BadRow: it has neither, or what it has are no times.
    """
    for column in (SEGMENTS, SPANS):
        if facts.get(column) is not None:
            return _cues(facts[column], "text")
    raise BadRow("missing_value", "the row has no segments and no spans: no times")


def words_of(facts: Mapping[str, Any]) -> list[Cue] | None:
    """The words of a row; None where it has none.

    Raises:
        BadRow: what it has are no times.
    """
    return None if facts.get(WORDS) is None else _cues(facts[WORDS], "word")


def length_ms(facts: Mapping[str, Any], cues: Sequence[Cue]) -> int:
    """The length of a row's audio; where it is not told, the end of the last cue."""
    last = max((cue.end_ms for cue in cues), default=0)
    told = facts.get(INPUT_DURATION_S)
    if not isinstance(told, float) or not 0 <= told < _LONGEST_S:
        return last
    return max(math.floor(told * 1000), last)


def _cues(value: Any, name: str) -> list[Cue]:
    """Check cells that anybody may have made."""
    if not isinstance(value, list):
        raise _bad(name)
    cues = [_cue(one, name) for one in value]
    if any(one.end_ms > other.start_ms for one, other in pairwise(cues)):
        raise BadRow("unreadable_row", f"times of a {name} lie before those of the one before it")
    return [cue for cue in cues if cue.text.strip()]


def _cue(value: Any, name: str) -> Cue:
    if not isinstance(value, Mapping):
        raise _bad(name)
    start_s, end_s, text = (value.get(key) for key in ("start_s", "end_s", name))
    if not isinstance(start_s, float) or not isinstance(end_s, float) or not isinstance(text, str):
        raise _bad(name)
    if not 0 <= start_s <= end_s < _LONGEST_S:
        raise _bad(name)
    start_ms, end_ms = round(start_s * 1000), round(end_s * 1000)
    if start_ms == end_ms and text.strip():
        raise BadRow("unreadable_row", f"a {name} ends when it begins; no format here can hold it")
    confidence = value.get("confidence")
    is_told = isinstance(confidence, float) and 0 <= confidence <= 1
    return Cue(start_ms, end_ms, text, confidence if is_told else None)


def _bad(name: str) -> BadRow:
    return BadRow("unreadable_row", f"its {name}s are not start_s, end_s and {name} in seconds")
