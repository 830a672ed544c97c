from __future__ import annotations

from pipelines.export.timed.ctm import ctm_lines, is_kept_by_ctm
from pipelines.export.timed.cues import Cue


def test_a_line_a_word_to_the_millisecond() -> None:
    words = [Cue(0, 7, "a", 0.98765), Cue(3_600_001, 3_600_500, "b\x85c")]
    assert list(ctm_lines("r-1", words)) == [
        "r-1 1 0.000 0.007 a 0.9877", "r-1 1 3600.001 0.499 bc",
    ]  # fmt: skip


def test_words_that_some_reader_changes_are_known() -> None:
    assert [is_kept_by_ctm(text) for text in ("a", "<unk>", "<ALT_END>", "a b")] == [
        True, True, False, False,
    ]  # fmt: skip
