"""Windows over long clips: which codes, frames and samples, and how windows are joined."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.config import LATENT_RATE_HZ, RECON_RATE_HZ

FRAMES_PER_CODE = 2
_SMALLEST_WINDOW = 4
_SIZES = 10  # lengths that a window may be cut to; few, so that windows of one length meet


@dataclass(frozen=True)
class WindowPlan:
    """The arithmetic of windows, for clips of any length.

    Codes beyond the end of a clip are its codes again from the start. The published arithmetic
    places windows a little late and hands over frames of another time; the corrected one, the
    default, hands over the whole overlap and puts every sample where its code belongs.

    Attributes:
        codes: reconstruction codes of one window, at least 4.
        stride: samples of one latent frame; a code is two frames.
        compat: the published arithmetic instead of the corrected one.
        spare: None for whole windows, as published; else the last window of a clip is cut to
            what the clip needs and at least so many codes beyond its end.

    Raises:
        ValueError: the window is too short to overlap the next, or windows that are cut are to
            follow the published arithmetic.
    """

    codes: int
    stride: int
    compat: bool = False
    spare: int | None = None

    def __post_init__(self) -> None:
        if self.compat and self.spare is not None:
            raise ValueError("compat asks for the published, whole windows; set windows to whole")
        if self.codes < _SMALLEST_WINDOW:
            raise ValueError(
                f"a window of {self.codes} codes must have at least {_SMALLEST_WINDOW} to overlap "
                "the next; raise window_codes"
            )

    @property
    def frames(self) -> int:
        """Latent frames of one window."""
        return FRAMES_PER_CODE * self.codes

    @property
    def samples(self) -> int:
        """Samples of one window."""
        return self.frames * self.stride

    @property
    def hop_codes(self) -> int:
        """Codes from one window's start to the next one's."""
        return self.codes // 4 * 3

    @property
    def overlap_codes(self) -> int:
        """Codes that a window shares with the next."""
        return self.codes - self.hop_codes

    @property
    def incontext_frames(self) -> int:
        """Latent frames, the last of a window, that the next window starts from."""
        return self.overlap_codes // 2 if self.compat else FRAMES_PER_CODE * self.overlap_codes

    @property
    def hop_samples(self) -> int:
        """Samples from one window's start to the next one's."""
        if self.compat:
            return self.samples // 4 * 3
        return self.hop_codes * FRAMES_PER_CODE * self.stride

    @property
    def fade_samples(self) -> int:
        """Samples over which a window is faded into the next."""
        return self.samples - self.hop_samples

    def count(self, length: int) -> int:
        """Count the windows that cover a clip of `length` codes; at least one."""
        return max(-(-(length - self.overlap_codes) // self.hop_codes), 1)

    def size(self, window: int, length: int) -> int:
        """Count the codes that a window of a clip of `length` codes holds."""
        if self.spare is None:
            return self.codes
        needed = length - window * self.hop_codes + self.spare
        step = -(-self.codes // _SIZES)
        return min(-(-needed // step) * step, self.codes)

    def indices(self, window: int, length: int) -> Tensor:
        """Which codes of a clip of `length` codes a window holds: ``[size]`` int64."""
        return (torch.arange(self.size(window, length)) + window * self.hop_codes) % length

    def output_samples(self, length: int) -> int:
        """Count the samples of a decoded clip of `length` codes.

        The published floating-point formula loses one sample at some lengths, such as 29.
        """
        if self.compat:
            return int(length / RECON_RATE_HZ * (LATENT_RATE_HZ * self.stride))
        return length * FRAMES_PER_CODE * self.stride


class CrossFade:
    """Joins the windows of one clip as they come, each faded into the next.

    Args:
        plan: the windows.
        length: codes of the clip.

    Attributes:
        wave: ``[output_samples]`` float32 on the CPU; complete once every window was added.
    """

    def __init__(self, plan: WindowPlan, length: int) -> None:
        self.wave = torch.zeros(plan.output_samples(length))
        self._plan = plan
        self._start = 0

    @property
    def room(self) -> int:
        """Samples of the next window that the clip has room for."""
        return min(self._plan.samples, max(self.wave.shape[0] - self._start, 0))

    def add(self, window: Tensor) -> None:
        """Add the next window, ``[N]`` float32; samples beyond `room` are cut off."""
        window = window[: self.room].cpu()
        faded = min(self._plan.fade_samples, window.shape[0]) if self._start else 0
        ramp = torch.linspace(0, 1, self._plan.fade_samples, dtype=torch.float64)[:faded]
        place = self.wave[self._start : self._start + window.shape[0]]
        place[:faded] = place[:faded] * (1 - ramp) + window[:faded] * ramp
        place[faded:] = window[faded:]
        self._start += self._plan.hop_samples
