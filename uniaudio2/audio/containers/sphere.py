"""Headers of NIST SPHERE files (sphere 2.6a, as LDC's corpora have them)."""

from __future__ import annotations

import os
from typing import BinaryIO

from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.containers.stored import Stored, Undecodable

_MOST_HEADER = 1 << 16
_CODINGS = {"ulaw": "ulaw", "mu-law": "ulaw", "alaw": "alaw"}


def read_sphere(file: BinaryIO, found: Found) -> Stored | None:
    """Where the samples are; None where they are coded.

    Raises:
        Undecodable: the header says nothing that can be read.
    """
    file.seek(found.start)
    head = file.read(16).split(b"\n")
    try:
        length = int(head[1])
    except (ValueError, IndexError):
        length = 0
    if not 0 < length <= _MOST_HEADER:
        raise Undecodable("a SPHERE header of no stated length; convert the file with sox")
    file.seek(found.start)
    fields = _fields(file.read(length).decode("ascii", "replace"))
    end, first = file.seek(0, os.SEEK_END), found.start + length
    try:
        rate, channels = int(fields["sample_rate"]), int(fields.get("channel_count", "1"))
        width = int(fields.get("sample_n_bytes", "2"))
        count = int(fields.get("sample_count", "0"))
    except (KeyError, ValueError) as fault:
        raise Undecodable("a SPHERE header without numbers of samples and channels") from fault
    coding = fields.get("sample_coding", "pcm")
    encoding = _CODINGS.get(coding) or (f"s{8 * width}" if coding == "pcm" else "")
    if encoding not in ("ulaw", "alaw", "s8", "s16", "s24", "s32"):
        return None
    big = fields.get("sample_byte_format", "01")[:1] != "0" or width == 1
    there, stated = max(end - first, 0), count * channels * width
    size = min(stated, there) if stated else there
    missing = max(stated - there, 0)
    return Stored(rate, channels, encoding, big, first, size, (), missing, not stated)


def _fields(text: str) -> dict[str, str]:
    """``name -type value`` in each line up to ``end_head``."""
    fields = {}
    for line in text.splitlines()[2:]:
        words = line.split(None, 2)
        if words[:1] == ["end_head"]:
            break
        if len(words) == 3:
            fields[words[0]] = words[2].strip()
    return fields
