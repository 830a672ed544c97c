"""Text that is not ours, as people and logs see it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio2.errors import BadRow
from uniaudio2.shown import listed, quoted, shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain ünï 文字　x", "plain ünï 文字　x"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\u202eb\u2028c\x85d\x9b", "a\\u202eb\\u2028c\\x85d\\x9b"),
        ("lone \ud800", "lone \\ud800"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        (
            "abfss://box@account.dfs.core.windows.net/x",
            "abfss://box@account.dfs.core.windows.net/x",
        ),
        ("hf://org/repo@main/x", "hf://org/repo@main/x"),
        ("s3://KEY:SECRET@bucket/x", "s3://…@bucket/x"),
        ("https://u:p@h/x?X-Amz-Signature=abc&b end", "https://…@h/x?… end"),
        ("see 'http://h/a?token=t', then", "see 'http://h/a?…', then"),
    ],
)
def test_what_is_shown(text: str, wanted: str) -> None:
    assert shown(text) == wanted


@given(st.text(), st.integers(1, 50))
def test_whatever_comes_is_one_bounded_printable_line(text: str, characters: int) -> None:
    found = shown(text, characters)
    assert len(found) <= characters + 1
    assert all(unicodedata.category(letter)[0] not in "C" for letter in found)
    assert len(found.splitlines()) <= 1


def test_lines_stay_where_they_are_meant() -> None:
    assert shown("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_quotes_and_lists() -> None:
    assert quoted("it's") == '"it\'s"'
    assert quoted(7) == "'7'"
    assert listed(["a", "b\x00", "c"], most=2) == "a, b\\x00 and 1 more"


def test_a_bad_row_says_nothing_raw() -> None:
    assert BadRow("x", "a\x1b[2Jb http://u:p@h/").message == "a\\x1b[2Jb http://…@h/"
