"""FLAC of one or two channels: libsndfile as far as it goes, FFmpeg for what is damaged or joined.

libsndfile is the quicker one and goes to any sample; it stops at the first broken frame and at the
end of the first of joined files, with nothing but right samples before.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from uniaudio2.audio.containers.joints import has_joint
from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders.block import Block, Marks
from uniaudio2.audio.decoders.ffmpeg import FFmpegDecoder
from uniaudio2.audio.decoders.sndfile import SndfileDecoder

_SPEAKERS = {1: ("FC",), 2: ("FL", "FR")}


class FlacDecoder:
    """A FLAC file whose header states its length; see `Decoder`.

    Args:
        file: binary and seekable; stays open.
        found: where in it the FLAC begins.

    Raises:
        Undecodable: libsndfile does not know it.
    """

    exact = False

    def __init__(self, file: BinaryIO, found: Found) -> None:
        self._file, self._found = file, found
        self._plain = SndfileDecoder(file, found.start)
        self._rest: FFmpegDecoder | None = None
        self.rate, self.channels = self._plain.rate, self._plain.channels
        self.stated = self._plain.stated
        self._at = 0
        self._stop: int | None = None
        self._alone: bool | None = None  # not looked at yet

    @property
    def marks(self) -> Marks:
        """See `Decoder`."""
        return Marks() if self._rest is None else self._rest.marks

    def seek(self, sample: int, stop: int | None = None) -> int:
        """See `Decoder`."""
        self._stop = stop
        if self._is_enough():
            self._at = self._plain.seek(sample)
        return self._at

    def _is_enough(self) -> bool:
        """Whether no more is wanted than what libsndfile sees, the first of joined files."""
        if self._stop is not None and self._stop <= (self.stated or 0):
            return True
        if self._alone is None:
            file = self._file
            self._alone = isinstance(file, io.BytesIO) and not has_joint(file, self._found)
        return self._alone

    def blocks(self) -> Iterator[Block]:
        """See `Decoder`."""
        at, speakers = self._at, _SPEAKERS[self.channels]
        if self._is_enough():
            try:
                for block in self._plain.blocks():
                    at += len(block.values)
                    yield block._replace(speakers=speakers)
                return
            except Undecodable:
                pass  # at the first broken frame; all before it was right
        self._rest = FFmpegDecoder(self._file, self._found)
        yield from _behind(self._rest.blocks(), at)

    def close(self) -> None:
        """See `Decoder`."""
        self._plain.close()
        if self._rest is not None:
            self._rest.close()


def _behind(blocks: Iterator[Block], samples: int) -> Iterator[Block]:
    """Blocks without so many samples at their beginning."""
    for block in blocks:
        if samples < len(block.values):
            yield block._replace(values=block.values[samples:])
        samples = max(samples - len(block.values), 0)
