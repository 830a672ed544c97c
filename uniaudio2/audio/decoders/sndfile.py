"""libsndfile, for the containers of plain samples that it reads right, and for rare old ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soundfile

from uniaudio2.audio.containers.joints import Whole
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders.block import BLOCK_VALUES, Block, Marks, check_length, check_shape

_NO_LENGTH = 1 << 62
_NO_NAME = re.compile(r"^Error opening <[^>]*>: ")  # says where in memory the file is, no more
_PLAIN = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
)


class SndfileDecoder:
    """A file that libsndfile reads; see `Decoder`.

    Args:
        file: binary and seekable; stays open.
        start: where in it what libsndfile reads begins.

    Attributes:
        is_plain: whether the samples are stored as they are.

    Raises:
        Undecodable: libsndfile does not know it.
        BadRow: what no recording has.
    """

    def __init__(self, file: BinaryIO, start: int = 0) -> None:
        with _typed():
            self._file = soundfile.SoundFile(Whole(file, start))
        self._file.seekable = lambda: False  # or each read is followed by a seek
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.is_plain = self._file.subtype in _PLAIN
        self.exact = True
        self.marks = Marks()
        try:
            check_shape(self.rate, self.channels)
            if not 0 <= self._file.frames < _NO_LENGTH:
                raise Undecodable("the header gives no length; convert the file, which writes one")
        except BaseException:
            self.close()
            raise
        self.stated: int | None = self._file.frames
        self._at = 0

    def seek(self, sample: int, stop: int | None = None) -> int:
        """See `Decoder`."""
        del stop
        if not self.is_plain or sample == self._at:
            return self._at
        self._at = min(sample, self.stated or 0)
        with _typed():
            self._file.seek(self._at)
        return self._at

    def blocks(self) -> Iterator[Block]:
        """See `Decoder`."""
        step, left = max(BLOCK_VALUES // self.channels, 1), (self.stated or 0) - self._at
        # 16 bits are turned into planes and floats in one go
        dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        while left > 0:
            with _typed():
                values = self._file.read(min(step, left), dtype=dtype, always_2d=True)
            if not len(values):
                break
            left -= len(values)
            planes = values.T.astype(np.float32, order="C", copy=False)
            if dtype == "int16":
                planes *= np.float32(2.0**-15)
            yield Block(planes.T, self.rate)
        check_length((self.stated or 0) - left, self.stated or 0, self.rate)

    def close(self) -> None:
        """See `Decoder`."""
        self._file.close()


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except (soundfile.SoundFileError, ValueError) as fault:
        raise Undecodable(_NO_NAME.sub("", str(fault)).strip()) from fault
