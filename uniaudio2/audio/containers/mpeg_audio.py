"""Headers of MPEG audio: where it begins, and what the tag in its first frame states.

Sources: ISO/IEC 11172-3 2.4.1.3 and 13818-3 (headers), the LAME tag's specification rev1 (delay
and padding), FFmpeg's libavformat/mp3dec.c (the decoder's own delay of 529 samples).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_KBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_DECODER_DELAY = 529
HEADER_BYTES = 4
TAG_BYTES = 192  # of a frame, in which all is that is read of its tag
_GAPLESS = (b"LAME", b"Lavf", b"Lavc")  # writers whose tags state delay and padding
_FRAMES, _BYTES, _CONTENTS, _QUALITY = 1, 2, 4, 8  # flags of a tag's fields


class Header(NamedTuple):
    """One header of MPEG audio.

    Attributes:
        rate: in Hz.
        channels: 1 or 2.
        samples: of one channel in a frame.
        size: of a frame in bytes.
        kind: what all headers of a stream share: version, layer and rate.
        tag_at: where a tag stands in a frame of layer III.
    """

    rate: int
    channels: int
    samples: int
    size: int
    kind: tuple[int, int, int]
    tag_at: int


class Tag(NamedTuple):
    """What a Xing, LAME or VBRI tag states.

    Attributes:
        samples: of one channel without priming and padding.
        padding: samples that a decoder gives behind them.
        size: bytes of the stream, this frame included, or 0.
    """

    samples: int
    padding: int
    size: int


def header_at(data: bytes | memoryview, at: int = 0) -> Header | None:
    """The header at a position; None where none is or its frame has no stated size."""
    if len(data) < at + HEADER_BYTES or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    kbits, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or kbits in (0, 15) or rate == 3:
        return None
    first = version == 3
    hz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    row = _KBITS[1, layer] if first else _KBITS[2, min(layer, 2)]
    samples = 384 if layer == 1 else 576 if layer == 3 and not first else 1152
    slots = samples // 8 * row[kbits] * 1000 // hz
    pad = data[at + 2] >> 1 & 1
    size = (slots // 4 + pad) * 4 if layer == 1 else slots + pad
    mono = data[at + 3] >> 6 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return Header(hz, 1 if mono else 2, samples, size, (version, layer, rate), 4 + side)


def is_stream(data: bytes, at: int, headers: int, ends: bool) -> bool:
    """Whether so many headers of one kind follow each other; fewer where the file ends.

    Args:
        data: a piece of the file.
        at: where the first header is.
        headers: how many to see.
        ends: whether `data` reaches the file's end.
    """
    first = header = header_at(data, at)
    for _ in range(headers - 1):
        if header is None or first is None or header.kind != first.kind:
            return False
        at += header.size
        if at + HEADER_BYTES > len(data):
            return ends
        header = header_at(data, at)
    return header is not None and first is not None and header.kind == first.kind


def first_frame(data: bytes, headers: int = 4) -> int | None:
    """Where MPEG audio begins within bytes that begin with something else."""
    for found in _SYNC.finditer(data):
        if is_stream(data, found.start(), headers, ends=False):
            return found.start()
    return None


def tag_of(frame: bytes) -> Tag | None:
    """What the tag in a stream's first frame states; None where it gives no number of frames."""
    header = header_at(frame)
    if header is None or header.kind[1] != 3:
        return None
    if frame[36:40] == b"VBRI":
        size, frames = _number(frame[46:50]), _number(frame[50:54])
        return Tag(frames * header.samples, 0, size) if frames else None
    at = header.tag_at
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags, fields = _number(frame[at + 4 : at + 8]), at + 8
    found = {}
    for bit, length in ((_FRAMES, 4), (_BYTES, 4), (_CONTENTS, 100), (_QUALITY, 4)):
        if flags & bit:
            found[bit] = frame[fields : fields + length]
            fields += length
    frames = _number(found.get(_FRAMES, b""))
    if not frames:
        return None
    size = _number(found.get(_BYTES, b""))
    if frame[fields : fields + 4] not in _GAPLESS:
        return Tag(frames * header.samples, 0, size)
    gaps = _number(frame[fields + 21 : fields + 24])
    delay, padding = gaps >> 12, max((gaps & 0xFFF) - _DECODER_DELAY, 0)
    samples = frames * header.samples - delay - _DECODER_DELAY - padding
    return Tag(max(samples, 0), padding, size)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
