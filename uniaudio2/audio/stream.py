"""Encoded audio as a stream of mono blocks: memory does not grow with the length of the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from uniaudio2.audio.channel_files import ChannelFile, ChannelFiles
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders.block import Block, Decoder
from uniaudio2.audio.decoders.opening import open_decoder
from uniaudio2.audio.limits import MAX_DURATION_S
from uniaudio2.audio.mixing import Channel, Downmix
from uniaudio2.audio.resampling import SAMPLE_RATE, resampled, unified
from uniaudio2.audio.sniff import HEAD_BYTES, looks_like
from uniaudio2.errors import BadRow
from uniaudio2.lazily import torch

if TYPE_CHECKING:
    from torch import Tensor

PADDED = "padded"
SHORT_S = 0.1  # manifests round their times, and codecs pad


class AudioStream:
    """A span of an encoded file; a context manager, read once and forward.

    Any span is the slice of the whole read, sample for sample.

    Args:
        file: binary and seekable; or several, the channels of one recording, see `ChannelFiles`.
        start_s: first second of the span.
        end_s: its end, or None for the end of the file.
        max_duration_s: longest span that is accepted.
        channel: the one channel to take, see `Downmix`; None mixes all.

    Attributes:
        rate: the file's sample rate in Hz. What was joined to it with another rate is brought to
            this one.
        length: samples of the span at that rate; None where only reading tells. Headers that
            estimate are not believed.

    Raises:
        BadRow: `unreadable_audio`, `no_audio`, `empty_audio`, `too_long` or `bad_span` (also for a
            channel that is not there), here or while the blocks are read, then also
            `non_finite_audio`.
    """

    def __init__(
        self,
        file: BinaryIO | Sequence[ChannelFile],
        start_s: float = 0.0,
        end_s: float | None = None,
        max_duration_s: float = MAX_DURATION_S,
        channel: Channel | None = None,
    ) -> None:
        self._span_s = start_s, end_s
        self._max_duration_s = max_duration_s
        self._short_s = 0.0
        self._downmix = Downmix("mix" if channel is None else channel)
        self._mix_mark: str | None = None
        self._file = file
        self._about = _about(file)
        self._decoder = self._opened()
        try:
            self.rate = self._decoder.rate
            self._first, self._stop = self._span()
            self.length = self._stated_length() if self._decoder.exact else None
        except BaseException:
            self._decoder.close()
            raise

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    @property
    def duration_s(self) -> float | None:
        """Seconds of the span; None where only reading tells."""
        return None if self.length is None else self.length / self.rate

    @property
    def samples(self) -> int | None:
        """Samples of the span at 24 kHz; None where only reading tells."""
        return None if self.length is None else -(-self.length * SAMPLE_RATE // self.rate)

    @property
    def channels(self) -> int:
        """Channels at the beginning of the file."""
        return self._decoder.channels

    @property
    def stronger(self) -> int | None:
        """The channel to take instead of the mix that was read, in which the channels cancel."""
        return self._downmix.stronger

    def take(self, channel: int) -> None:
        """Begin anew, with one channel alone; marks stay."""
        self._mix_mark, self._downmix = self._downmix.mark, Downmix(channel)
        self._decoder.close()
        self._decoder = self._opened()

    def _opened(self) -> Decoder:
        with self._typed():
            if isinstance(self._file, Sequence):
                return ChannelFiles(self._file)
            return open_decoder(self._file)

    @property
    def is_padded(self) -> bool:
        """Whether one of several files was shorter, by more than manifests and codecs round."""
        return self._decoder.marks.padded > SHORT_S * self.rate

    @property
    def marks(self) -> dict[str, float | bool | str]:
        """What is to be known about what was read, complete when all blocks are.

        ``input_damaged_s``: seconds of silence that stand for what could not be decoded.
        ``input_short_by_s``: seconds that were announced, by the header or as the span's end, and
        are not there. ``input_unfinished``: True where the header was never completed.
        ``input_mix``: what `Downmix.mark` says, else ``padded`` where one of several files is
        shorter than another, by ``input_short_by_s``, and silent from there on.
        """
        marks: dict[str, float | bool | str] = {}
        if self._decoder.marks.damaged:
            marks["input_damaged_s"] = round(self._decoder.marks.damaged / self.rate, 6)
        padded_s = self._decoder.marks.padded / self.rate if self.is_padded else 0.0
        if (short_s := max(self._short_s, padded_s)) > 0.0:
            marks["input_short_by_s"] = round(short_s, 6)
        if self._decoder.marks.unfinished:
            marks["input_unfinished"] = True
        if mark := self._mix_mark or self._downmix.mark or (PADDED if padded_s else None):
            marks["input_mix"] = mark
        return marks

    def native(self) -> Iterator[Tensor]:
        """Blocks ``[N]`` float32 at the file's own rate, mono."""
        with self._typed():
            yield from map(finite, self._mono())

    def blocks(self) -> Iterator[Tensor]:
        """Blocks ``[N]`` float32 at 24 kHz."""
        with self._typed():
            yield from map(finite, resampled(self._mono(), self.rate))

    def _span(self) -> tuple[int, int | None]:
        """First sample and the one behind the last, as wanted; checked as far as is known."""
        start_s, end_s = self._span_s
        length = self._decoder.stated
        length_s = None if length is None else length / self.rate
        if self._decoder.exact and not length:
            raise _empty()
        if not start_s >= 0 or (end_s is not None and not start_s < end_s):
            raise self._outside(length_s)
        if length_s is not None:
            stop_s = length_s if end_s is None else min(end_s, length_s)
            if self._decoder.exact and not start_s < stop_s:
                raise self._outside(length_s)
            self._check_duration(stop_s - start_s)
        stop = None if end_s is None or end_s > 1e15 else round(end_s * self.rate)
        return round(min(start_s, 1e15) * self.rate), stop

    def _stated_length(self) -> int:
        length = self._decoder.stated or 0
        return max(min(length, length if self._stop is None else self._stop) - self._first, 0)

    def _outside(self, length_s: float | None) -> BadRow:
        start_s, end_s = self._span_s
        there = "the file" if length_s is None else f"a file of {length_s:.3f} s"
        return BadRow(
            "bad_span",
            f"span {start_s} s to {end_s} s does not lie in {there}; correct start_s and end_s",
        )

    def _check_duration(self, duration_s: float, more: str = "") -> None:
        if duration_s > self._max_duration_s:
            raise BadRow(
                "too_long",
                f"{more}{duration_s:.1f} s of audio; the limit is {self._max_duration_s:.0f} s a "
                "row; cut it with start_s and end_s, or raise load.max_duration_s",
            )

    def _mono(self) -> Iterator[Tensor]:
        """The span's blocks, mono, at the rate of the file's beginning."""
        at = self._decoder.seek(self._first, self._stop)
        for block in self._unified():
            begin, at = at, at + len(block)
            if at <= self._first:
                continue
            stop = len(block) if self._stop is None else min(self._stop - begin, len(block))
            part = block[max(self._first - begin, 0) : stop]
            self._check_duration((begin + stop - self._first) / self.rate, "more than ")
            if len(part):
                yield part
            if self._stop is not None and at >= self._stop:
                return
        self._check_end(at)

    def _check_end(self, length: int) -> None:
        """Look at a file that was read to its end: it ended before a stated end of the span."""
        if length == 0:
            raise _empty()
        if length <= self._first:
            raise self._outside(length / self.rate)
        announced = length + self._decoder.marks.missing
        short = (announced if self._stop is None else self._stop) - length
        if short > SHORT_S * self.rate:
            self._short_s = short / self.rate

    def _unified(self) -> Iterator[Tensor]:
        mono = ((self._one_channel(block), block.rate) for block in self._decoder.blocks())
        yield from unified(mono, self.rate)

    def _one_channel(self, block: Block) -> Tensor:
        mono = self._downmix.mono(block.values, block.speakers)
        return torch.from_numpy(np.ascontiguousarray(mono))

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (Undecodable, ValueError, OSError) as fault:
            raise BadRow(
                "unreadable_audio",
                f"{fault}{self._about}; docs/audio-formats.md lists what can be read",
            ) from fault


def _about(file: BinaryIO | Sequence[ChannelFile]) -> str:
    """The size of a file and what it looks like, for a message; of several each says it itself.

    Raises:
        BadRow: `empty_audio`.
    """
    if isinstance(file, Sequence):
        return ""
    file.seek(0)
    kind = looks_like(file.read(HEAD_BYTES))
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise BadRow("empty_audio", "the file is 0 bytes long; give a file with audio")
    return f" ({size} bytes{f', which look like {kind}' if kind else ''})"


def _empty() -> BadRow:
    return BadRow("empty_audio", "the file holds no samples; give a file with audio")


def finite(wave: Tensor) -> Tensor:
    """A wave, if all of it is finite.

    Raises:
        BadRow: `non_finite_audio`.
    """
    # a bad input sample reaches every output that its filter touches; torch takes 20 times as long
    if not np.isfinite(wave.numpy()).all():
        raise BadRow("non_finite_audio", "some samples are NaN or infinite; repair the file")
    return wave
