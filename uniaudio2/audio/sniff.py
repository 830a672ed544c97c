"""What a file that is no readable audio looks like, in words of a fixed list.

A message must not repeat a file's contents: whoever named the file may not be allowed to read it.
"""

from __future__ import annotations

HEAD_BYTES = 512
POINTER = "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository"
_POINTER_START = b"version https://git-lfs"
_BEGINNINGS = (
    (_POINTER_START, POINTER),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"%PDF", "PDF"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"\x89HDF", "HDF5"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
    (b"#!AMR", "AMR"),
    (b"NIST_1A", "NIST SPHERE"),
    (b"wvpk", "WavPack"),
    (b"MAC ", "Monkey's Audio"),
    (b"ID3", "audio behind an ID3 tag"),
    (b"RIFF", "a RIFF file, as WAV is"),
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
)
_TEXTS = (
    ((b"<!doctype html", b"<html"), "HTML, as of an error page"),
    ((b"<?xml", b"<error"), "XML, as of a store's error"),
    ((b"{", b"["), "JSON"),
)


def is_pointer(head: bytes) -> bool:
    """Tell the small text that Git LFS leaves in the place of a file that it did not fetch.

    Args:
        head: the first `HEAD_BYTES` of the file, or more.
    """
    return head.startswith(_POINTER_START) and b"\noid " in head


def looks_like(head: bytes) -> str:
    """The kind of a file by its first bytes, from a fixed list; "" where none is recognised.

    Args:
        head: the first `HEAD_BYTES` of the file, or fewer where it is shorter.
    """
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[4:8] == b"ftyp":
        return "MP4 or M4A"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        return "MPEG audio"
    if head and not any(head):
        return "zeros alone"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, kind in _TEXTS:
        if start.startswith(beginnings):
            return kind
    return ""
