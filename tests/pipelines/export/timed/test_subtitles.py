from __future__ import annotations

import pytest

from pipelines.export.timed.cues import Cue
from pipelines.export.timed.subtitles import is_kept_by_srt, is_kept_by_vtt, srt_text, vtt_text

CUES = [Cue(0, 1, "a & <b>\nc"), Cue(1_999, 2_000, "--> d"), Cue(359_999_999, 360_000_001, "e")]


def test_srt_has_texts_as_they_are_in_one_line() -> None:
    assert srt_text(CUES) == (
        "1\n00:00:00,000 --> 00:00:00,001\na & <b> c\n\n"
        "2\n00:00:01,999 --> 00:00:02,000\n--> d\n\n"
        "3\n99:59:59,999 --> 100:00:00,001\ne\n\n"
    )
    assert srt_text([]) == ""


def test_vtt_escapes_what_its_standard_has_escapes_for() -> None:
    assert vtt_text(CUES[:2]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.001\na &amp; &lt;b&gt; c\n\n"
        "00:00:01.999 --> 00:00:02.000\n--&gt; d\n\n"
    )


@pytest.mark.parametrize(
    ("text", "srt", "vtt"),
    [
        ("plain, \u4f60\u597d", True, True),
        ("<unk>", False, False),
        ("{laughter}", False, False),
        ("a & b", True, False),
        ("a --> b", False, False),
        ("x > y", True, False),
        ("\\N", False, False),
        ("two\nlines", False, False),
        ("a\u2028b", False, False),
        (" blank", False, False),
    ],
)
def test_texts_that_some_reader_changes_are_known(text: str, srt: bool, vtt: bool) -> None:
    assert (is_kept_by_srt(text), is_kept_by_vtt(text)) == (srt, vtt)
