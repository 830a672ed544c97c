"""The beginning of a FLAC file (RFC 9639, 8.2)."""

from __future__ import annotations

FLAC_HEAD_BYTES = 42


def flac_shape(head: bytes) -> tuple[int, int]:
    """Channels, and samples of one; 0 samples where the writer did not know, as with a pipe."""
    if len(head) < FLAC_HEAD_BYTES:
        return 1, 0
    return (head[20] >> 1 & 7) + 1, int.from_bytes(head[21:26], "big") & (1 << 36) - 1
