"""FFmpeg's decoders: one forward pass over all links of a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from av.audio.frame import AudioFrame

from uniaudio2.audio.containers.recognise import Found, recognise
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders.block import Block, Marks, check_length, check_shape
from uniaudio2.audio.decoders.clock import Clock
from uniaudio2.audio.decoders.gather import Gather
from uniaudio2.audio.decoders.opened import Opened, typed

_MOST_DAMAGED = 0.25
_MOST_LINKS = 4096


class FFmpegDecoder:
    """A file that FFmpeg decodes; see `Decoder`.

    Args:
        file: binary and seekable; stays open.
        found: the container within it.
        stated: samples that the file states where FFmpeg does not look (the `fact` of a WAV), and
            the most padding behind them.

    Raises:
        Undecodable: it is not what it looks like.
        BadRow: `no_audio`, or what no recording has.
    """

    exact = False

    def __init__(self, file: BinaryIO, found: Found, stated: tuple[int, int] | None = None) -> None:
        self.marks = Marks()
        self._file = file
        self._clock = Clock()
        self._opened = Opened(file, found, self._clock)
        if stated is not None:
            self._opened.total, self._opened.padding = stated
        self._items = self._opened.frames()
        try:
            with typed():
                self._first = next(self._items, None)
            if isinstance(self._first, AudioFrame):
                self.rate = self._first.sample_rate
                self.channels = self._first.layout.nb_channels
            else:
                context = self._opened.stream.codec_context
                self.rate, self.channels = context.sample_rate, context.channels
            check_shape(self.rate, self.channels)
        except BaseException:
            self.close()
            raise
        self.stated = self._opened.total

    def seek(self, sample: int, stop: int | None = None) -> int:
        """See `Decoder`; nothing is skipped, for few codecs give the same samples then."""
        del sample, stop
        return 0

    def blocks(self) -> Iterator[Block]:
        """See `Decoder`."""
        seconds = 0.0
        for _ in range(_MOST_LINKS):
            gather = Gather(self._opened.held)
            with typed():
                yield from self._link(gather)
            self._check_end(gather)
            seconds += gather.count / max(gather.rate, 1)
            joint = self._opened.joint
            found = None if joint is None else recognise(self._file, joint)
            if found is None or found.kind != self._opened.found.kind:
                break
            self._opened.close()
            self._opened = Opened(self._file, found, self._clock)
            self._items, self._first = self._opened.frames(), None
        else:
            raise Undecodable(f"more than {_MOST_LINKS} files are joined; take them apart")
        if self.marks.damaged > _MOST_DAMAGED * seconds * self.rate:
            raise Undecodable(
                f"{self.marks.damaged / self.rate:.2f} of {seconds:.2f} s are damaged; "
                "fetch the file again"
            )

    def _link(self, gather: Gather) -> Iterator[Block]:
        """All blocks of the link that is open."""
        first = () if self._first is None else (self._first,)
        for item in chain(first, self._items):
            if isinstance(item, int):
                self.marks.damaged += item
                gather.silence(item)
            else:
                if not gather.count:
                    gather.skip(self._opened.priming)
                gather.add(item)
            if gather.ready:
                yield from gather.ready
                gather.ready = []
        gather.trim(self._opened.excess(gather.count))
        gather.flush()
        yield from gather.ready

    def _check_end(self, gather: Gather) -> None:
        """Whether the link held what its header announces."""
        total = self._opened.total
        if total is None or gather.count < total:
            self.marks.missing += max(self._opened.lost, self._opened.missing(gather.count))
        if total is not None:
            check_length(gather.count, total, self.rate)

    def close(self) -> None:
        """See `Decoder`."""
        self._opened.close()
