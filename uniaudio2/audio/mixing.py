"""Many channels to one: a downmix with the weights of ITU-R BS.775, or one channel alone.

The stereo downmix of BS.775 has the centre and each surround 3 dB below the fronts; both sides of
it together give the fronts 1, the centre the square root of 2 and the surrounds the root of one
half. They are divided by their sum: channels that are all the same come out at their own level.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from uniaudio2.errors import BadRow

Floats = npt.NDArray[np.float32]
Channel = int | Literal["mix"]
_FRONTS = ("FL", "FR", "FLC", "FRC", "DL", "DR", "BIL", "BIR")
_SURROUNDS = (
    *("BL", "BR", "BC", "SL", "SR", "WL", "WR", "SDL", "SDR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "TSL", "TSR", "BFL", "BFC", "BFR"),
)
_WEIGHTS: Final = {
    **dict.fromkeys(_FRONTS, 1.0),
    **dict.fromkeys(_SURROUNDS, sqrt(0.5)),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
    "FC": sqrt(2.0),
}
_FIVE_ONE = ("FL", "FR", "FC", "LFE", "BL", "BR")
# of the energy that channels without anything in common would give: -6 dB
_CANCELS = 0.25


def weights_of(speakers: Sequence[str], channels: int) -> Floats:
    """What each channel is multiplied by before all are added.

    Args:
        speakers: the channels' places in FFmpeg's names (``FL``, ``LFE``, …); empty where the file
            does not say: six channels are then taken as 5.1, others as equals.
        channels: their number.

    Returns:
        ``[C]`` float32, not negative, with a sum of 1; 0 for LFE channels.
    """
    if not speakers and channels == len(_FIVE_ONE):
        speakers = _FIVE_ONE
    weights = np.array([_WEIGHTS.get(name, np.nan) for name in speakers])  # [C]
    # neither for places unknown here, nor for an LFE that is all there is
    if len(weights) != channels or not weights.sum() > 0:
        weights = np.ones(channels)
    mixed: Floats = (weights / weights.sum()).astype(np.float32)
    return mixed


class Downmix:
    """Makes blocks of one wave mono, and finds out on the way whether its channels cancel.

    A mix cannot be judged before its end. Whoever reads one asks `stronger` then, and where that
    names a channel reads again with it: nothing is held, and the answer is about all of the wave.

    Args:
        channel: which one to take, counted from 0; ``mix`` takes all.
    """

    def __init__(self, channel: Channel = "mix") -> None:
        self.channel = channel
        self._energies = np.zeros(0)  # [C], of each channel
        self._mixed = self._expected = 0.0
        self._assumed = self._changes = False

    def mono(self, values: Floats, speakers: Sequence[str] = ()) -> Floats:
        """One channel of a block.

        Args:
            values: ``[N, C]`` float32 of any strides.
            speakers: see `weights_of`.

        Returns:
            ``[N]`` float32: new, or a view of `values` where no channel is added to it.

        Raises:
            BadRow: `bad_span`, the channel is not there.
        """
        channels = values.shape[1]
        if self.channel != "mix":
            return values[:, _there(self.channel, channels)]
        if channels == 1:
            self._changes = self._changes or len(self._energies) > 1
            return values[:, 0]
        self._assumed = self._assumed or (not speakers and channels == len(_FIVE_ONE))
        weights = weights_of(speakers, channels)
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked
            mixed = _weighted(values, weights)
            self._measure(values, weights, mixed)
        return mixed

    @property
    def stronger(self) -> int | None:
        """The channel to take instead of a mix in which the channels cancel."""
        if self._changes or not self._mixed < _CANCELS * self._expected:
            return None
        return int(self._energies.argmax())

    @property
    def mark(self) -> str | None:
        """What is to be said about a mix, where anything is."""
        if (place := self.stronger) is not None:
            name = ("left", "right")[place] if len(self._energies) == 2 else f"channel_{place}"
            return f"{name}_taken"
        return "5.1_assumed" if self._assumed else None

    def _measure(self, values: Floats, weights: Floats, mixed: Floats) -> None:
        energies = np.array([np.dot(one, one) for one in values.T], np.float64) * (weights > 0)
        if len(self._energies) not in (0, len(energies)):
            self._changes = True
            return
        self._energies = energies if not len(self._energies) else self._energies + energies
        self._expected += float(np.square(weights, dtype=np.float64) @ energies)
        self._mixed += float(np.dot(mixed, mixed))


def _weighted(values: Floats, weights: Floats) -> Floats:
    """The weighted sum over channels, always in their order: ``[N, C]``, ``[C]`` to ``[N]``."""
    used = np.flatnonzero(weights)
    mixed: Floats = np.multiply(values[:, used[0]], weights[used[0]])
    scaled = np.empty_like(mixed)
    for place in used[1:]:
        np.multiply(values[:, place], weights[place], out=scaled)
        mixed += scaled
    return mixed


def _there(channel: int, channels: int) -> int:
    """The channel, if it is one of so many."""
    if not 0 <= channel < channels:
        raise BadRow(
            "bad_span",
            f"channel {channel} of a file with {channels}; channels count from 0: correct "
            "the row's channel, or audio.channel",
        )
    return channel
