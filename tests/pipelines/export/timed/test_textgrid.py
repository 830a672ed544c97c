from __future__ import annotations

import re

from pipelines.export.timed.cues import Cue
from pipelines.export.timed.textgrid import is_kept_by_textgrid, textgrid_text


def test_intervals_fill_their_tier_without_gaps_and_exponents() -> None:
    text = textgrid_text({"words": [Cue(1, 2, "a"), Cue(2, 3, 'b "c"')], "empty": []}, 10_000)
    times = re.findall(r"xm(?:in|ax) = (\S+)", text)
    assert times[2:] == [
        "0", "10.000",
        "0.000", "0.001", "0.001", "0.002", "0.002", "0.003", "0.003", "10.000",
        "0", "10.000",
        "0.000", "10.000",
    ]  # fmt: skip
    assert re.findall(r'text = "(.*)"\n', text) == ["", "a", 'b ""c""', "", ""]
    assert "intervals: size = 4\n" in text


def test_texts_that_some_reader_changes_are_known() -> None:
    texts = ["plain", 'a "b"', "two\nlines", "{x} <y> & \\N"]
    assert [is_kept_by_textgrid(text) for text in texts] == [True, False, False, True]
