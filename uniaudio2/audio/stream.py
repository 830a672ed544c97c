"""Encoded audio as a stream of mono blocks: memory does not grow with the length of the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE, resampled
from uniaudio2.audio.sniff import HEAD_BYTES, looks_like
from uniaudio2.errors import BadRow

MAX_DURATION_S = 3600.0
LONGEST_STREAM_S = 86_400.0
_BLOCK_VALUES = 1 << 20
_MAX_CHANNELS = 1024
_MAX_RATE = 1_000_000
_NO_LENGTH = 1 << 62
_NO_NAME = re.compile(r"^Error opening <[^>]*>: ")  # says where in memory the file is, no more
_LOST_S = 0.1  # codecs with delay may give a little less than their header says


class AudioStream:
    """A span of an encoded file of any format that libsndfile reads; a context manager.

    Args:
        file: binary and seekable.
        start_s: first second of the span.
        end_s: its end, or None for the end of the file.
        max_duration_s: longest span that is accepted.
        channel: the one channel to take, counted from 0; None averages all.

    Attributes:
        rate: the file's sample rate in Hz.
        frames: length of the span at that rate.

    Raises:
        BadRow: `unreadable_audio`, `empty_audio`, `too_long` or `bad_span` (also for a channel
            that is not there); while the blocks are
            read also `non_finite_audio`.
    """

    def __init__(
        self,
        file: BinaryIO,
        start_s: float = 0.0,
        end_s: float | None = None,
        max_duration_s: float = MAX_DURATION_S,
        channel: int | None = None,
    ) -> None:
        self._channel = channel
        self._kind = looks_like(file.read(HEAD_BYTES))
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if not self._size:
            raise BadRow("empty_audio", "the file is 0 bytes long; give a file with audio")
        with self._typed():
            self._file = soundfile.SoundFile(file)
            _check_header(self._file)
            _check_channel(channel, self._file.channels)
            self._first, self.frames = _span(self._file, start_s, end_s, max_duration_s)
        self.rate: int = self._file.samplerate

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate

    @property
    def samples(self) -> int:
        """Samples at 24 kHz that a file gives which is as long as its header says."""
        return -(-self.frames * SAMPLE_RATE // self.rate)

    def native(self) -> Iterator[Tensor]:
        """Blocks ``[N]`` float32 at the file's own rate, mono."""
        with self._typed():
            self._file.seek(self._first)
            yield from map(_finite, _mono_blocks(self._file, self.frames, self._channel))

    def blocks(self) -> Iterator[Tensor]:
        """Blocks ``[N]`` float32 at 24 kHz."""
        with self._typed():
            self._file.seek(self._first)
            blocks = _mono_blocks(self._file, self.frames, self._channel)
            yield from map(_finite, resampled(blocks, self.rate))

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (soundfile.SoundFileError, ValueError, OSError) as fault:
            like = f", which look like {self._kind}" if self._kind else ""
            raise BadRow(
                "unreadable_audio",
                f"{_NO_NAME.sub('', str(fault)).strip()} ({self._size} bytes{like}); "
                "WAV, FLAC, OGG and MP3 can be read",
            ) from fault


def _mono_blocks(file: soundfile.SoundFile, frames: int, channel: int | None) -> Iterator[Tensor]:
    """Read `frames` frames in blocks: one channel, or the average of all as they come."""
    block_frames = max(1, _BLOCK_VALUES // file.channels)
    left = frames
    while left > 0:
        block = file.read(min(left, block_frames), dtype="float32", always_2d=True)
        if not len(block):
            break
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked
            average = file.channels > 1 and channel is None
            mono = block.mean(axis=1, dtype=np.float32) if average else block[:, channel or 0]
        left -= len(block)
        yield torch.from_numpy(mono)
    if frames > left > _LOST_S * file.samplerate:
        raise BadRow(
            "unreadable_audio",
            f"the header announces {frames} samples and {frames - left} can be read; "
            "the file is cut or damaged: fetch it again",
        )


def _check_header(file: soundfile.SoundFile) -> None:
    if not 1 <= file.samplerate <= _MAX_RATE or not 1 <= file.channels <= _MAX_CHANNELS:
        raise BadRow(
            "unreadable_audio",
            f"header claims {file.samplerate} Hz and {file.channels} channels; 1 to {_MAX_RATE} Hz "
            f"and 1 to {_MAX_CHANNELS} channels can be read; convert the file",
        )
    if not 0 <= file.frames < _NO_LENGTH:
        raise BadRow(
            "unreadable_audio",
            "the header gives no length (as a stream's does); convert the file, which writes one",
        )


def _check_channel(channel: int | None, channels: int) -> None:
    if channel is not None and not 0 <= channel < channels:
        raise BadRow(
            "bad_span",
            f"channel {channel} of a file with {channels}; channels count from 0: correct "
            "audio_channel",
        )


def _span(
    file: soundfile.SoundFile, start_s: float, end_s: float | None, max_duration_s: float
) -> tuple[int, int]:
    """First frame and number of frames of the wanted span, checked against the file."""
    if file.frames == 0:
        raise BadRow("empty_audio", "the file holds no samples; give a file with audio")
    length_s = file.frames / file.samplerate
    stop_s = length_s if end_s is None else min(end_s, length_s)
    if not 0 <= start_s < stop_s:
        raise BadRow(
            "bad_span",
            f"span {start_s} s to {end_s} s does not lie in a file of {length_s:.3f} s; "
            "correct start_s and end_s",
        )
    if stop_s - start_s > max_duration_s:
        raise BadRow(
            "too_long",
            f"{stop_s - start_s:.1f} s of audio; the limit is {max_duration_s:.0f} s a row; "
            "cut it with start_s and end_s, or raise load.max_duration_s",
        )
    first = round(start_s * file.samplerate)
    return first, max(round(stop_s * file.samplerate) - first, 0)


def _finite(wave: Tensor) -> Tensor:
    # a bad input sample reaches every output that its filter touches
    if not bool(torch.isfinite(wave).all()):
        raise BadRow("non_finite_audio", "some samples are NaN or infinite; repair the file")
    return wave
