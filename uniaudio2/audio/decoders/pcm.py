"""Samples that are stored as they are: integers, floats and G.711, little or big endian."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from uniaudio2.audio.containers.stored import Stored
from uniaudio2.audio.decoders.block import Block, Floats, Marks, check_shape

BLOCK_VALUES = 1 << 20  # nothing but arithmetic is done to them
_SIGN, _MANTISSA = 0x80, 0x0F


def _mu_law() -> Floats:
    """ITU-T G.711, table 2a: the values of all bytes."""
    bits = ~np.arange(256, dtype=np.int32) & 0xFF
    size = ((bits & _MANTISSA) * 8 + 132 << (bits >> 4 & 7)) - 132
    return (np.where(bits & _SIGN, -size, size) * 2.0**-15).astype(np.float32)


def _a_law() -> Floats:
    """ITU-T G.711, table 1a: the values of all bytes."""
    bits = np.arange(256, dtype=np.int32) ^ 0x55
    step, low = bits >> 4 & 7, (bits & _MANTISSA) * 16 + 8
    size = np.where(step == 0, low, low + 256 << np.maximum(step - 1, 0))
    return (np.where(bits & _SIGN, size, -size) * 2.0**-15).astype(np.float32)


_TABLES = {"ulaw": _mu_law(), "alaw": _a_law()}
_WIDTHS = {
    "u8": 1, "s8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4, "f64": 8, "ulaw": 1, "alaw": 1,
}  # fmt: skip


class PcmDecoder:
    """Samples that are stored as they are; see `Decoder`.

    Args:
        file: binary and seekable; stays open.
        stored: where in it what is.

    Raises:
        BadRow: what no recording has.
    """

    exact = True

    def __init__(self, file: BinaryIO, stored: Stored) -> None:
        check_shape(stored.rate, stored.channels)
        self.rate, self.channels = stored.rate, stored.channels
        self._width = _WIDTHS[stored.encoding] * stored.channels
        self._file, self._stored, self._at = file, stored, 0
        self.stated: int | None = stored.size // self._width
        self.marks = Marks(0, stored.missing // self._width, stored.unfinished)

    def seek(self, sample: int, stop: int | None = None) -> int:
        """See `Decoder`."""
        del stop
        self._at = min(sample, self.stated or 0)
        return self._at

    def blocks(self) -> Iterator[Block]:
        """See `Decoder`."""
        step = max(BLOCK_VALUES // self.channels, 1)
        left = (self.stated or 0) - self._at
        while left > 0:
            self._file.seek(self._stored.first + self._at * self._width)
            data = self._file.read(min(step, left) * self._width)
            count = len(data) // self._width
            if not count:
                return
            values = self._floats(data[: count * self._width] if len(data) % self._width else data)
            yield Block(values.reshape(count, self.channels), self.rate, self._stored.speakers)
            self._at += count
            left -= count

    def _floats(self, data: bytes) -> Floats:
        """Bytes as float32 in [-1, 1), integers exactly as libsndfile converts them."""
        encoding, order = self._stored.encoding, ">" if self._stored.big else "<"
        if encoding in _TABLES:
            return _TABLES[encoding][np.frombuffer(data, np.uint8)]
        if encoding in ("f32", "f64"):
            kind = f"{order}f{_WIDTHS[encoding]}"
            with np.errstate(over="ignore"):  # what comes of it is checked
                return np.frombuffer(data, kind).astype(np.float32)
        if encoding == "u8":
            values = np.frombuffer(data, np.uint8).astype(np.float32)
            values -= 128.0
            values *= np.float32(2.0**-7)
            return values
        if encoding == "s24":
            return self._from_24(data)
        width = _WIDTHS[encoding]
        values = np.frombuffer(data, f"{order}i{width}").astype(np.float32)
        values *= np.float32(2.0 ** (1 - 8 * width))
        return values

    def _from_24(self, data: bytes) -> Floats:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        three = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wide[:, 1:] = three[:, ::-1] if self._stored.big else three
        values = wide.view("<i4")[:, 0].astype(np.float32)
        values *= np.float32(2.0**-31)
        return values

    def close(self) -> None:
        """See `Decoder`."""
