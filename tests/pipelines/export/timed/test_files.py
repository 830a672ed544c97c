from __future__ import annotations

import pytest

from pipelines.export.timed.files import TIMED_FORMATS, TimedFormat, timed_text
from uniaudio2.errors import BadRow

WORDS = [{"start_s": 0.1, "end_s": 0.2, "word": "a", "confidence": 1.0}]
SEGMENTS = [{"start_s": 0.1, "end_s": 0.2, "text": "a"}]


@pytest.mark.parametrize("kind", TIMED_FORMATS)
def test_every_format_has_the_words_of_a_row(kind: TimedFormat) -> None:
    text, is_kept = timed_text(kind, {"words": WORDS, "segments": SEGMENTS}, "name")
    assert "a" in text
    assert is_kept


@pytest.mark.parametrize("kind", TIMED_FORMATS)
def test_a_row_in_which_nobody_speaks_is_a_file_without_cues(kind: TimedFormat) -> None:
    facts = {"words": [], "segments": [], "input_duration_s": 1.0}
    text, is_kept = timed_text(kind, facts, "name")
    assert is_kept
    assert "-->" not in text


def test_ctm_needs_words() -> None:
    with pytest.raises(BadRow, match="no words"):
        timed_text("ctm", {"segments": SEGMENTS}, "name")
