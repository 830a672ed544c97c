"""Sample rates: torchaudio's windowed sinc at its defaults, as the published tokenizer has it.

The filter is a product of matrices over strided views of the wave: a row of the product is a
stretch of input, a column one of the samples that come of it. Few taps of a column are not zero,
so columns are taken sixteen at a time, each such part with its own taps alone. A wave goes through
in tiles whose borders depend on the rates alone, and sums are formed in one order whatever the
length: pieces of a stream are the samples of the whole wave, bit for bit.

These are also torchaudio's own bits, up to 96 kHz and where a wave has more than 20,480 samples;
with fewer its convolution sums in another order, and the largest difference seen is 2.4e-7.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING

import numpy as np
import soxr

from uniaudio2.lazily import torch, torchaudio

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE = 24_000
_CHUNK_SAMPLES = 1 << 22
_MAX_KERNEL_VALUES = 20_000_000
_TILE_SAMPLES = 1 << 17  # of input or of output, whichever is more: half a megabyte, so cached
# a product of fewer rows or columns may form its sums in another order
_LEAST_ROWS = 4
_PART_COLUMNS = 16


@dataclass(frozen=True)
class _FilterBank:
    """The filter between two rates, for `period` input and `out_period` output samples at once.

    Attributes:
        period: input samples from one row to the next.
        out_period: output samples of a row.
        lead: input samples before its period that a row sees.
        taps: input samples that a row sees in all.
        parts: first column, first tap and kernel ``[taps of the part, columns of the part]``.
    """

    period: int
    out_period: int
    lead: int
    taps: int
    parts: tuple[tuple[int, int, Tensor], ...]

    @property
    def tile_rows(self) -> int:
        return _at_least(_TILE_SAMPLES // max(self.period, self.out_period))

    def seen(self, rows: int) -> int:
        """Input samples that so many rows see together."""
        return (rows - 1) * self.period + self.taps

    def apply(self, wave: Tensor, out: Tensor) -> None:
        """Filter ``[seen(rows)]`` float32 into ``[rows, out_period]``, tile by tile."""
        for first in range(0, len(out), self.tile_rows):
            rows = out[first : first + self.tile_rows]
            for column, tap, kernel in self.parts:
                shape, start = (len(rows), len(kernel)), first * self.period + tap
                stretches = wave.as_strided(shape, (self.period, 1), wave.storage_offset() + start)
                torch.mm(stretches, kernel, out=rows[:, column : column + kernel.shape[1]])


def _at_least(rows: int) -> int:
    """So many rows or a few more: a multiple of the fewest, so that no tile has less."""
    return max(-(-rows // _LEAST_ROWS), 1) * _LEAST_ROWS


@functools.lru_cache(maxsize=8)
def _filter_bank(rate: int, target: int) -> _FilterBank:
    transform = torchaudio.transforms.Resample(rate, target)
    one, lead = transform.kernel[:, 0], transform.width  # [out_period, taps]
    period, out_period = rate // math.gcd(rate, target), target // math.gcd(rate, target)
    repeats = -(-_PART_COLUMNS // out_period)
    bank = torch.zeros(repeats * out_period, one.shape[1] + (repeats - 1) * period)
    for number in range(repeats):
        start = number * period
        bank[number * out_period :][:out_period, start : start + one.shape[1]] = one
    parts, column = [], 0
    for columns in bank.tensor_split(len(bank) // _PART_COLUMNS):
        used = columns.ne(0).any(dim=0).nonzero()[:, 0]
        tap, stop = int(used[0]), int(used[-1]) + 1
        parts.append((column, tap, columns[:, tap:stop].t().contiguous()))
        column += len(columns)
    return _FilterBank(repeats * period, len(bank), lead, bank.shape[1], tuple(parts))


def _has_filter_bank(rate: int, target: int) -> bool:
    """Tell whether the filter bank between two rates is of a sane size."""
    common = math.gcd(rate, target)
    width = 12 * max(rate, target) // min(rate, target) + rate // common
    return width * (target // common) <= _MAX_KERNEL_VALUES


def _rows(wave: Tensor, bank: _FilterBank) -> Tensor:
    """Filter a whole wave ``[N]`` into ``[rows, out_period]``; the last rows may lie behind it.

    A tile that lies within the wave is not copied.
    """
    wave = wave.contiguous()
    out = torch.empty(_at_least(-(-len(wave) // bank.period)), bank.out_period)
    for first in range(0, len(out), bank.tile_rows):
        tile = out[first : first + bank.tile_rows]
        start = first * bank.period - bank.lead
        stop = start + bank.seen(len(tile))
        stretch = wave[max(start, 0) : stop]
        if start < 0 or stop > len(wave):
            edges = (max(-start, 0), max(stop - len(wave), 0))
            stretch = torch.nn.functional.pad(stretch, edges)
        bank.apply(stretch, tile)
    return out


def _in_tiles(blocks: Iterable[Tensor], rate: int, target: int) -> Iterator[Tensor]:
    """Filter a stream, the whole tiles of what has come so far at once."""
    bank = _filter_bank(rate, target)
    tile_samples = bank.tile_rows * bank.period
    waiting, held = [torch.zeros(bank.lead)], bank.lead
    taken = given = 0
    for block in blocks:
        waiting.append(block)
        held, taken = held + len(block), taken + len(block)
        tiles = (held - bank.taps + bank.period) // tile_samples
        if tiles <= 0:
            continue
        wave = torch.cat(waiting)
        out = torch.empty(tiles * bank.tile_rows, bank.out_period)
        bank.apply(wave, out)
        yield out.view(-1)
        given += out.numel()
        rest = wave[tiles * tile_samples :].clone()
        waiting, held = [rest], len(rest)
    left = -(-taken * target // rate) - given
    if left:
        out = torch.empty(_at_least(-(-left // bank.out_period)), bank.out_period)
        wave = torch.nn.functional.pad(torch.cat(waiting), (0, bank.seen(len(out)) - held))
        bank.apply(wave, out)
        yield out.view(-1)[:left]


def _by_soxr(blocks: Iterable[Tensor], rate: int, target: int) -> Iterator[Tensor]:
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
    taken = given = 0
    for block in blocks:
        for piece in torch.split(block, max(_CHUNK_SAMPLES * rate // max(rate, target), 1)):
            taken += len(piece)
            out = torch.from_numpy(stream.resample_chunk(piece.numpy()))
            given += len(out)
            yield out
    rest = torch.from_numpy(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    left = -(-taken * target // rate) - given
    yield torch.nn.functional.pad(rest, (0, left - len(rest)))


def joined(pieces: Iterable[Tensor], expected: int) -> Tensor:
    """One tensor of all pieces; `expected` is a header's word, so memory follows what comes.

    A piece that is all there is comes back as it is.
    """
    pieces = iter(pieces)
    first, second = next(pieces, None), next(pieces, None)
    if first is None or second is None:
        return torch.zeros(0) if first is None else first
    whole = np.empty(min(expected, _CHUNK_SAMPLES), dtype=np.float32)
    filled = 0
    for piece in chain((first, second), pieces):
        end = filled + len(piece)
        if end > len(whole):
            # large arrays grow where they are, without a second copy
            whole.resize(max(end, min(len(whole) * 5 // 4, expected)), refcheck=False)
        whole[filled:end] = piece.numpy()
        filled = end
    return torch.from_numpy(whole[:filled])


def resample(wave: Tensor, rate: int, target: int = SAMPLE_RATE) -> Tensor:
    """Change the sample rate of a mono wave.

    Rates whose ratio would need a filter bank of gigabytes (44 101 Hz, say) go through soxr.

    Args:
        wave: ``[N]`` float32.
        rate: its rate in Hz.
        target: the wanted rate in Hz.

    Returns:
        ``[ceil(N * target / rate)]`` float32.
    """
    if rate == target:
        return wave
    samples = -(-len(wave) * target // rate)
    if not _has_filter_bank(rate, target):
        return joined(_by_soxr([wave], rate, target), samples)
    return _rows(wave, _filter_bank(rate, target)).view(-1)[:samples]


def resampled(blocks: Iterable[Tensor], rate: int, target: int = SAMPLE_RATE) -> Iterable[Tensor]:
    """Change the sample rate of a mono wave that comes in blocks, each ``[N]`` float32."""
    if rate == target:
        return blocks
    chunks = _in_tiles if _has_filter_bank(rate, target) else _by_soxr
    return chunks(blocks, rate, target)


def unified(parts: Iterable[tuple[Tensor, int]], rate: int) -> Iterator[Tensor]:
    """Bring a mono wave whose rate may change on the way to one rate.

    Args:
        parts: blocks ``[N]`` float32, each with its rate in Hz.
        rate: the wanted one.
    """
    for own, group in groupby(parts, key=lambda part: part[1]):
        yield from resampled((wave for wave, _ in group), own, rate)


def seconds(samples: int) -> float:
    """Duration of so many samples at the working rate."""
    return samples / SAMPLE_RATE
