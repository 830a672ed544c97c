"""Decoded frames of FFmpeg as blocks of float32, copied once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.plane import AudioPlane
from numpy import frombuffer

from uniaudio2.audio.decoders.block import BLOCK_VALUES, Block, Floats, check_shape

MONO_SAMPLES = 1 << 19  # nothing is mixed: most clips are one block, which is not copied again
_KINDS = {
    "u8": (np.uint8, 2.0**-7),
    "s16": (np.int16, 2.0**-15),
    "s32": (np.int32, 2.0**-31),
    "s64": (np.int64, 2.0**-63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}
_U8_ZERO = 128
Array = npt.NDArray[Any]
_plane: Any = AudioPlane  # has a buffer, which its types do not say


class Gather:
    """Takes frames of any sample format, rate and layout; gives blocks.

    Args:
        held: samples that wait for what follows, so that they can be taken back: how much is
            padding is known when the end is reached.

    Attributes:
        count: samples taken since the beginning.
        rate: of the frame before, in Hz.
        ready: blocks that are complete; whoever takes them empties the list.
    """

    def __init__(self, held: int = 0) -> None:
        self.count = 0
        self.rate = 0
        self.ready: list[Block] = []
        self._held = held
        self._key: tuple[str, int, str] | None = None
        self._data: Array = np.zeros((0, 0))  # [C, room] or [room, C]
        self._rows: list[Array] = []  # of planes
        self._dtype = self._data.dtype
        self._planar, self._scale = False, 1.0
        self._channels = 0
        self._speakers: tuple[str, ...] = ()
        self._filled = self._room = self._skip = 0
        self._early = 0  # silence before the first frame

    def skip(self, samples: int) -> None:
        """Leave out the first samples of what comes, `held` at most."""
        self._skip = samples

    def add(self, frame: AudioFrame) -> None:
        """Take a frame."""
        samples = frame.samples
        key = frame.format.name, frame.rate, frame.layout.name
        if key != self._key:
            self.flush()
            self._begin(key, frame.layout)
            early, self._early = self._early, 0
            self.silence(early)
        start, stop = self._filled, self._filled + samples
        if stop > self._room:
            self._give(self._held)
            start, stop = self._filled, self._filled + samples
            self._grow(stop)
        if self._planar:
            # one by one: the list of all planes is read beyond its end for eight and more
            for channel, row in enumerate(self._rows):
                row[start:stop] = frombuffer(_plane(frame, channel), self._dtype, samples)
        else:
            packed = frombuffer(_plane(frame, 0), self._dtype, samples * self._channels)
            self._data[start:stop] = packed.reshape(samples, self._channels)
        self._filled = stop
        self.count += samples

    def silence(self, samples: int) -> None:
        """Take so much silence in the shape of the frame before, or of the first one."""
        if not self.rate:
            self._early += samples
            return
        self.count += samples
        while samples > 0:
            if self._filled >= self._room:
                self._give(self._held)
                self._grow(self._filled + 1)
            taken = min(samples, self._room - self._filled)
            part = slice(self._filled, self._filled + taken)
            zero = _U8_ZERO if self._data.dtype == np.uint8 else 0
            self._data[(slice(None), part) if self._planar else part] = zero
            self._filled += taken
            samples -= taken

    def trim(self, samples: int) -> None:
        """Take back the last samples, `held` at most."""
        self._filled -= min(samples, self._filled)

    def flush(self) -> None:
        """Complete the last block."""
        self._give(0)

    def _begin(self, key: tuple[str, int, str], layout: AudioLayout) -> None:
        name, self.rate, _ = key
        self._key = key
        self._channels = layout.nb_channels
        check_shape(self.rate, self._channels)
        self._planar = name.endswith("p")
        dtype, self._scale = _KINDS[name.removesuffix("p")]
        names = tuple(channel.name for channel in layout.channels)
        self._speakers = () if "NONE" in names else names
        self._filled, room = 0, self._block_samples() + self._held
        self._use(self._empty(room, np.dtype(dtype)), room)

    def _grow(self, needed: int) -> None:
        """A new array that begins with what is held."""
        room = max(needed, self._block_samples() + self._held)
        data, held = self._empty(room, self._data.dtype), self._filled
        if self._planar:
            data[:, :held] = self._data[:, :held]
        else:
            data[:held] = self._data[:held]
        self._use(data, room)

    def _block_samples(self) -> int:
        if self._channels == 1:
            return MONO_SAMPLES
        return max(BLOCK_VALUES // self._channels, 1)

    def _use(self, data: Array, room: int) -> None:
        self._data, self._room, self._dtype = data, room, data.dtype
        self._rows = list(data) if self._planar else []

    def _empty(self, room: int, dtype: np.dtype[Any]) -> Array:
        return np.empty((self._channels, room) if self._planar else (room, self._channels), dtype)

    def _give(self, held: int) -> None:
        """Complete a block of all but the last `held` samples, which move to the front."""
        stop = self._filled - held
        start = min(self._skip, max(stop, 0))
        if stop > start:
            self._skip = 0
            data = self._data.T if self._planar else self._data
            self.ready.append(Block(self._floats(data[start:stop]), self.rate, self._speakers))
            rest = self._data[:, stop:] if self._planar else self._data[stop:]
            self._filled = held
            self._use(rest, self._room - stop)

    def _floats(self, data: Array) -> Floats:
        if data.dtype == np.float32:
            return data
        # channels come out as planes, which mixing adds up without strides
        floats = data.T.astype(np.float32, order="C").T
        if data.dtype == np.uint8:
            floats -= _U8_ZERO
        if self._scale != 1.0:
            floats *= np.float32(self._scale)
        return floats
