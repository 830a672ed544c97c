"""What every decoder gives: samples of one forward pass, and what is to be known about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.errors import BadRow

Floats = npt.NDArray[np.float32]
BLOCK_VALUES = 1 << 17  # half a megabyte of floats, so that mixing finds them in the cache
MAX_CHANNELS = 1024
MAX_RATE = 1_000_000
_LOST_S = 0.1  # codecs with delay may give a little less than their header says


class Block(NamedTuple):
    """Samples that follow the block before them.

    Attributes:
        values: ``[N, C]`` float32; often the transposed view of planes ``[C, N]``. C may change
            where files were joined.
        rate: sample rate in Hz.
        speakers: for each channel its place in the names of FFmpeg (``FL``, ``LFE``, …); empty
            where the file does not say.
    """

    values: Floats
    rate: int
    speakers: tuple[str, ...] = ()


@dataclass
class Marks:
    """What was found about a file while it was read; lengths in samples of one channel.

    Attributes:
        damaged: silence that stands for what could not be decoded.
        missing: samples that the header announces and the file does not hold.
        unfinished: the header was never completed, as a killed recorder leaves it.
        padded: silence behind the shortest of several files, to the end of what was wanted.
    """

    damaged: int = 0
    missing: int = 0
    unfinished: bool = False
    padded: int = 0


class Decoder(Protocol):
    """One open file.

    Attributes:
        rate: sample rate in Hz of its beginning.
        channels: their number at its beginning.
        stated: samples of one channel that the header states, or None; never an estimate.
        exact: whether `stated` is what the file holds; else only decoding tells.
    """

    rate: int
    channels: int
    stated: int | None
    exact: bool

    @property
    def marks(self) -> Marks:
        """What was found; complete when the blocks have been read."""
        ...

    def seek(self, sample: int, stop: int | None = None) -> int:
        """Move forward where that gives the very samples of a whole read.

        Args:
            sample: the first one that is wanted.
            stop: the one behind the last, or None for all.

        Returns:
            the sample with which the blocks will begin: `sample` or one before it.
        """
        ...

    def blocks(self) -> Iterator[Block]:
        """The samples from there to the end; can be asked for once.

        Raises:
            BadRow: `unreadable_audio`.
        """
        ...

    def close(self) -> None:
        """Free what the decoder holds; the file stays open."""
        ...


def check_shape(rate: int, channels: int) -> None:
    """Refuse what no recording has.

    Raises:
        BadRow: `unreadable_audio`.
    """
    if not 1 <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise BadRow(
            "unreadable_audio",
            f"header claims {rate} Hz and {channels} channels; 1 to {MAX_RATE} Hz and 1 to "
            f"{MAX_CHANNELS} channels can be read; convert the file",
        )


def check_length(samples: int, stated: int, rate: int) -> None:
    """Refuse what ends before its header says.

    Raises:
        Undecodable: more than a little is missing.
    """
    if samples < stated - _LOST_S * rate:
        raise Undecodable(
            f"the header announces {stated} samples and {samples} can be read; "
            "the file is cut or damaged: fetch it again"
        )
