"""What a file looks like, without a byte of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio2.audio import sniff


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (b"<Error><Code>AccessDenied", "XML"),
        (b'{"error": 1}', "JSON"),
        (b"\x00\x00\x00\x20ftypM4A ", "MP4"),
        (b"\x00" * 512, "zeros"),
        (b"x" * 257 + b"ustar", "tar"),
        (b"\xff\xf1\x50\x80", "MPEG"),
        (b"a secret", ""),
        (b"", ""),
    ],
)
def test_kinds(head: bytes, kind: str) -> None:
    found = sniff.looks_like(head)
    assert kind in found
    assert bool(kind) is bool(found)


@given(st.binary(max_size=600))
def test_every_word_is_one_of_the_list(head: bytes) -> None:
    words = {kind for _, kind in (*sniff._BEGINNINGS, *sniff._TEXTS)}
    words |= {"", "MP4 or M4A", "a tar archive", "MPEG audio", "zeros alone"}
    assert sniff.looks_like(head) in words
