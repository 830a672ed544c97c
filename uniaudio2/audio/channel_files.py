"""Several files that are one recording, one file a channel, decoded side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders.block import Block, Decoder, Floats, Marks
from uniaudio2.audio.decoders.opening import open_decoder
from uniaudio2.audio.resampling import SAMPLE_RATE, unified
from uniaudio2.errors import BadRow
from uniaudio2.lazily import torch
from uniaudio2.shown import quoted

if TYPE_CHECKING:
    from torch import Tensor

NO_PLACE = "?"  # a microphone's: six files are six equals and no 5.1


class ChannelFile(NamedTuple):
    """An open file of a recording, and its name for messages."""

    file: BinaryIO
    name: str


class ChannelFiles:
    """The files as one of so many channels; see `Decoder`.

    Where their rates are equal the samples are those of one file of these channels; where they
    differ each is brought to 24 kHz. A file that ends before others is silent from there on, and
    `marks.padded` says for how long. Memory holds a block of each.

    Args:
        files: in the order of the channels; they stay open.

    Raises:
        BadRow: `bad_span` for a file with several channels, `empty_audio`, or what keeps one from
            being decoded, each with its name; here or from `blocks`.
    """

    def __init__(self, files: Sequence[ChannelFile]) -> None:
        self._members: list[_Member] = []
        try:
            for number, file in enumerate(files, 1):
                self._members.append(_Member(file, f"file {number} of {len(files)}"))
        except BaseException:
            self.close()
            raise
        rates = {one.decoder.rate for one in self._members}
        self.rate = rates.pop() if len(rates) == 1 else SAMPLE_RATE
        self.channels = len(self._members)
        self.exact = all(one.decoder.exact for one in self._members)
        stated = [one.stated(self.rate) for one in self._members]
        self.stated = None if None in stated else max(filter(None, stated), default=0)
        self._first = self._at = 0
        self._stop: int | None = None

    @property
    def marks(self) -> Marks:
        """See `Decoder`; of the files, what is most."""
        members = [(one, one.marks(self.rate)) for one in self._members]
        found = [own for _, own in members]
        announced = max(one.length + own.missing for one, own in members)
        stop = self._at if self._stop is None else min(self._at, self._stop)
        ended = [max(stop - max(one.length, self._first), 0) for one in self._members if one.ended]
        return Marks(
            damaged=max(own.damaged for own in found),
            missing=max(announced - self._at, 0),
            unfinished=any(own.unfinished for own in found),
            padded=max(ended, default=0),
        )

    def seek(self, sample: int, stop: int | None = None) -> int:
        """See `Decoder`; all begin where the one does that can go furthest."""
        self._first, self._stop = sample, stop
        self._at = max(one.seek(sample, stop, self.rate) for one in self._members)
        return self._at

    def blocks(self) -> Iterator[Block]:
        """See `Decoder`."""
        streams = [one.pieces(self.rate, self._at) for one in self._members]
        held = [torch.zeros(0) for _ in streams]
        places = (NO_PLACE,) * self.channels
        while True:
            for place, one in enumerate(self._members):
                while not one.ended and not len(held[place]):
                    piece = next(streams[place], None)
                    one.ended = piece is None
                    held[place] = torch.zeros(0) if piece is None else piece
            if all(one.ended for one in self._members):
                return
            count = min(
                len(wave) for wave, one in zip(held, self._members, strict=True) if not one.ended
            )
            planes = np.zeros((self.channels, count), np.float32)  # [C, N]
            for place, wave in enumerate(held):
                planes[place, : len(wave)] = wave[:count].numpy()
                held[place] = wave[count:]
            self._at += count
            yield Block(planes.T, self.rate, places)

    def close(self) -> None:
        """See `Decoder`."""
        for one in self._members:
            one.decoder.close()


class _Member:
    """One of the files.

    Attributes:
        decoder: of it.
        length: samples of it up to where it was read, at the recording's rate.
        ended: all of it was read.
    """

    def __init__(self, file: ChannelFile, place: str) -> None:
        self._name = f"{place}, {quoted(file.name)}"
        self.length, self.ended = 0, False
        with self._named():
            self.decoder: Decoder = open_decoder(file.file)
            try:
                self._check()
            except BaseException:
                self.decoder.close()
                raise

    def _check(self) -> None:
        if self.decoder.channels != 1:
            raise BadRow(
                "bad_span",
                f"has {self.decoder.channels} channels; each file of a list is one channel: give "
                "a file with several a row",
            )
        if self.decoder.exact and not self.decoder.stated:
            raise _no_samples()

    def stated(self, rate: int) -> int | None:
        """Its stated length at the recording's rate."""
        stated = self.decoder.stated
        return None if stated is None else -(-stated * rate // self.decoder.rate)

    def marks(self, rate: int) -> Marks:
        """What was found about it, at the recording's rate."""
        own = self.decoder.marks
        scale = rate / self.decoder.rate
        return Marks(round(own.damaged * scale), round(own.missing * scale), own.unfinished)

    def seek(self, sample: int, stop: int | None, rate: int) -> int:
        """Move forward, where no resampling stands between."""
        self.length = self.decoder.seek(sample, stop) if rate == self.decoder.rate else 0
        return self.length

    def pieces(self, rate: int, start: int) -> Iterator[Tensor]:
        """Its samples from one of the recording's on, ``[N]`` float32 at the recording's rate."""
        with self._named():
            for piece in unified(self._parts(), rate):
                behind = piece[max(start - self.length, 0) :]
                self.length += len(piece)
                if len(behind):
                    yield behind
            if not self.length:
                raise _no_samples()

    def _parts(self) -> Iterator[tuple[Tensor, int]]:
        for block in self.decoder.blocks():
            yield torch.from_numpy(_one(block.values)), block.rate

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (Undecodable, ValueError, OSError) as fault:
            raise BadRow(
                "unreadable_audio",
                f"{self._name}: {fault}; docs/audio-formats.md lists what can be read",
            ) from fault
        except BadRow as error:
            raise BadRow(error.kind, f"{self._name}: {error.message}") from error


def _one(values: Floats) -> Floats:
    """The one channel of a block ``[N, C]``, and not another's where files were joined."""
    if values.shape[1] != 1:
        raise BadRow("bad_span", f"has {values.shape[1]} channels further on; give each a row")
    only: Floats = np.ascontiguousarray(values[:, 0])
    return only


def _no_samples() -> BadRow:
    return BadRow("empty_audio", "holds no samples; give a file with audio")
