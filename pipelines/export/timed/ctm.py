"""NIST's CTM: a line a word, of a recording and its channel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.export.timed.cues import Cue
from pipelines.export.timed.one_line import one_line

_CHANNEL = 1
_ALTERNATIVES = "<ALT"  # scoring tools take these words for marks of their own


def ctm_lines(recording: str, words: Sequence[Cue]) -> Iterator[str]:
    """The lines of a recording: its name, channel, start, duration, word and confidence.

    Args:
        recording: a name without blanks, of no other row: else one takes the other's words.
        words: in order.
    """
    for word in words:
        duration_ms = word.end_ms - word.start_ms
        line = f"{recording} {_CHANNEL} {word.start_ms / 1000:.3f} {duration_ms / 1000:.3f}"
        line += f" {_joined(word.text)}"
        yield line if word.confidence is None else f"{line} {word.confidence:.4f}"


def is_kept_by_ctm(text: str) -> bool:
    """Tell whether every reader gives a word back as it is."""
    return _joined(text) == text and not text.startswith(_ALTERNATIVES)


def _joined(text: str) -> str:
    return "".join(one_line(text).split())
