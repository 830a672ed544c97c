"""Where a long recording is cut: at its silences, into spans that a model can hear at once.

Silence is judged by energy alone, against the floor and the peak of the minute around it. What is
doubtful counts as sound: a cut may be missed, but nothing that is said is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.frozen import Frozen
from uniaudio2.lazily import torch

if TYPE_CHECKING:
    from torch import Tensor

FRAME_HZ = 100
FRAME_SAMPLES = SAMPLE_RATE // FRAME_HZ
_QUIETEST_DB = -100.0
_SILENT_DB = -70.0  # below a 16-bit recording's own noise
_ABOVE_FLOOR_DB = 6.0
_BELOW_PEAK_DB = 40.0
_LEAST_RANGE_DB = 10.0  # steady sound has no silences
_SMOOTHED = 5
_WINDOW = 30 * FRAME_HZ
_SHORTEST_SOUND = 8
_SHORTEST_PAUSE = 20
# soft beginnings and endings of words lie outside of what is loud; models are trained on
# recordings that begin with speech, so little silence is left in front of it
_BEFORE, _BEHIND = 3, 30
_QUIET_SPOT = 11

Spans = list[tuple[int, int]]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class SpanRule(Frozen):
    """How spans are chosen.

    Attributes:
        max_s: longest span.
        pause_s: a silence of this length always ends a span; shorter ones do when the span is
            full.
    """

    max_s: float = Field(gt=0.5)
    pause_s: float = Field(gt=0.2)


class Levels:
    """The energy of every 10 ms of a wave that comes in blocks of any lengths.

    Args:
        rate: the wave's sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.samples = 0
        self._rate = rate
        self._edges = np.arange(FRAME_HZ) * rate // FRAME_HZ
        self._held = torch.zeros(0)
        self._parts: list[Floats] = []

    def add(self, block: Tensor) -> None:
        """Take the next block, ``[N]`` float32."""
        self.samples += len(block)
        self._held = torch.cat([self._held, block])
        seconds = len(self._held) // self._rate
        if seconds:
            whole = self._held[: seconds * self._rate].reshape(seconds, -1)
            self._parts += [_energies(second, self._edges) for second in whole.numpy()]
            self._held = self._held[seconds * self._rate :].clone()

    def energies(self) -> Floats:
        """Mean square of every frame around its mean, ``[F]``; the last frame may be short."""
        rest = self._held.numpy()
        last = [_energies(rest, self._edges[self._edges < len(rest)])] if len(rest) else []
        return np.concatenate([*self._parts, *last, np.zeros(0)])


def _energies(wave: npt.NDArray[np.float32], edges: npt.NDArray[np.int64]) -> Floats:
    wide = wave.astype(np.float64)
    counts = np.maximum(np.diff(edges, append=len(wide)), 1)
    means = np.add.reduceat(wide, edges) / counts
    energies: Floats = np.add.reduceat(wide**2, edges) / counts - means**2
    return energies


def find_spans(energies: Floats, samples: int, rule: SpanRule) -> Spans:
    """Cut a recording into spans.

    Args:
        energies: of `Levels`.
        samples: its length at 24 kHz.
        rule: how long a span may be.

    Returns:
        first sample and the one behind the last of every span at 24 kHz, in order, apart or
        touching, none longer than the rule says; none at all where all is silence.
    """
    levels, longest = _decibels(energies), int(rule.max_s * FRAME_HZ)
    pause = int(rule.pause_s * FRAME_HZ)
    packed: Spans = []
    for silence, start, stop in _regions(_is_sound(levels), levels, longest):
        if packed and silence < pause and stop - packed[-1][0] <= longest:
            packed[-1] = (packed[-1][0], stop)
        else:
            packed.append((start, stop))
    return [
        (start * FRAME_SAMPLES, min(stop * FRAME_SAMPLES, samples))
        for start, stop in packed
        if start * FRAME_SAMPLES < samples
    ]


def _decibels(energies: Floats) -> Floats:
    kernel = np.ones(_SMOOTHED) / _SMOOTHED
    smooth = np.convolve(np.pad(energies, _SMOOTHED // 2, mode="edge"), kernel, "valid")
    levels: Floats = np.maximum(10 * np.log10(np.maximum(smooth, 1e-30)), _QUIETEST_DB)
    return levels


def _is_sound(levels: Floats) -> Flags:
    """Which frames are no silence, judged window by window."""
    flags = np.zeros(len(levels), dtype=bool)
    for start in range(0, len(levels), _WINDOW):
        around = levels[max(start - _WINDOW, 0) : start + 2 * _WINDOW]
        floor, peak = np.percentile(around, [10, 99])
        threshold = max(floor + _ABOVE_FLOOR_DB, peak - _BELOW_PEAK_DB)
        threshold = max(min(threshold, peak - _LEAST_RANGE_DB), _SILENT_DB)
        own = slice(start, start + _WINDOW)
        flags[own] = levels[own] > threshold
    return flags


def _runs(flags: Flags) -> Spans:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _regions(flags: Flags, levels: Floats, longest: int) -> Iterator[tuple[int, int, int]]:
    """Stretches of sound with short pauses closed and margins around, none too long.

    Yields:
        frames of silence in front of it, first frame, frame behind the last.
    """
    joined: Spans = []
    for start, stop in _runs(flags):
        if joined and start - joined[-1][1] < _SHORTEST_PAUSE:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    loud = [(start, stop) for start, stop in joined if stop - start >= _SHORTEST_SOUND]
    for place, (start, stop) in enumerate(loud):
        silence = start - loud[place - 1][1] if place else start
        first = max(start - _BEFORE, 0, min(start, stop - longest))
        behind = loud[place + 1][0] - _BEFORE if place + 1 < len(loud) else len(flags)
        # margins alone are no reason to cut
        last = min(stop + _BEHIND, behind, max(stop, first + longest))
        for piece in _pieces(first, last, levels, longest):
            yield silence, *piece
            silence = 0


def _pieces(start: int, stop: int, levels: Floats, longest: int) -> Iterator[tuple[int, int]]:
    """A stretch without a silence, cut where it is quietest in the later half of a full span."""
    while stop - start > longest:
        first, last = start + longest // 2, start + longest
        around = np.pad(levels[first:last], _QUIET_SPOT // 2, mode="edge")
        spot = np.convolve(around, np.ones(_QUIET_SPOT) / _QUIET_SPOT, "valid")
        cut = first + int(spot.argmin())
        yield start, cut
        start = cut
    yield start, stop


def cut_spans(blocks: Iterable[Tensor], spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
    """Cut spans out of a wave that comes in blocks.

    Args:
        blocks: ``[N]`` float32 each, at 24 kHz.
        spans: of `find_spans`.

    Yields:
        the waves of the spans, in order.
    """
    held, at = torch.zeros(0), 0  # `at`: position of the first sample of `held`
    waiting = list(spans)
    for block in blocks:
        held = torch.cat([held, block])
        while waiting and waiting[0][1] <= at + len(held):
            start, stop = waiting.pop(0)
            yield held[start - at : stop - at].clone()
        dropped = min((waiting[0][0] if waiting else at + len(held)) - at, len(held))
        held, at = held[dropped:].clone(), at + dropped
    if waiting:
        raise RuntimeError(f"{len(waiting)} spans lie behind the end: the audio is another one now")
