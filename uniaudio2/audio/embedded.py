"""Audio that a text holds itself: a ``data:`` URI (RFC 2397), or base64 (RFC 4648) by itself.

Base64 is taken for audio where it can hardly be anything else: it is long, of its alphabet alone,
and decodes to what begins as audio does. The dot of a file's suffix is not of the alphabet.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from uniaudio2.audio.content import LOOK_BYTES, holds_audio
from uniaudio2.errors import BadRow

_SHORTEST = 128  # characters of base64 that no ``data:`` stands before
_HEAD = LOOK_BYTES * 2
_MOST_CHARACTERS = 3  # a byte, where it is written as ``%ff``
_DATA = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?((?:;[^;,]{0,80}){0,8}),", re.IGNORECASE)
_LETTERS = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SPACES = str.maketrans("", "", " \t\r\n")
_TO_PLAIN = str.maketrans("-_", "+/")


def is_embedded(text: str) -> bool:
    """Tell a text that holds audio from the name of a file, by its beginning."""
    if _DATA.match(text):
        return True
    if len(text) < _SHORTEST:
        return False
    head = text[:_HEAD].translate(_SPACES)
    if not _LETTERS.fullmatch(head):
        return False
    head = head.rstrip("=")
    try:
        return holds_audio(_decoded(head[: len(head) // 4 * 4])[:LOOK_BYTES])
    except (binascii.Error, ValueError):
        return False


def embedded_audio(text: str, most_bytes: int) -> bytes:
    """The bytes that a text holds.

    Args:
        text: a ``data:`` URI, or base64, with or without line breaks.
        most_bytes: of audio that are accepted.

    Raises:
        BadRow: `too_large`, or `bad_manifest_row` where it does not decode.
    """
    found = _DATA.match(text)
    held = text[found.end() :] if found else text
    is_plain = found is not None and not found[1].lower().endswith(";base64")
    data = None
    if len(held) <= most_bytes * _MOST_CHARACTERS:  # else too much even to be decoded
        try:
            data = unquote_to_bytes(held) if is_plain else _decoded(held.translate(_SPACES))
        except (binascii.Error, ValueError) as fault:
            raise BadRow(
                "bad_manifest_row",
                f"column 'audio' holds base64 that does not decode ({len(held)} characters); it "
                "may have been cut short: write it again, or keep the sound in a file",
            ) from fault
    if data is None or len(data) > most_bytes:
        raise BadRow(
            "too_large",
            f"column 'audio' holds a text of {len(held)} characters; at most {most_bytes} bytes "
            "of audio are read: raise load.max_bytes, or keep the sound in a file",
        )
    return data


def _decoded(text: str) -> bytes:
    """Decode base64 of either alphabet, with or without its padding."""
    text = text.rstrip("=").translate(_TO_PLAIN)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
