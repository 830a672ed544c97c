"""Latents that are computed, not learnt: levels of frequency bands, in the scalar codec's range.

nano's scalar codec has no encoder. A learnt one wants hours on a small machine before its latents
say where the formants are; and the fewer phases they hold, the better the flow transformer guesses
them from codes, which hold none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio2.config import ScalarConfig

MOMENTS = 2
"""Moments of one latent frame, 20 ms each."""

_FFT = 1024
_LINEAR_BANDS, _LINEAR_HZ = 20, 50.0  # narrow bands below 1 kHz, where harmonics lie apart
_MIDDLE_DB, _HALF_DB = -45.0, 35.0  # what becomes 0, and what becomes 1 above it


def band_centres(config: ScalarConfig) -> Tensor:
    """Compute the centres of the bands in Hz, ``[bands]``: evenly spaced, then in even ratios.

    Raises:
        ValueError: the latent has an odd number of channels, or too few.
    """
    bands, odd = divmod(config.latent_hidden_dim, MOMENTS)
    if odd or bands <= _LINEAR_BANDS:
        raise ValueError(
            f"latent_hidden_dim {config.latent_hidden_dim} must be an even number above "
            f"{MOMENTS * _LINEAR_BANDS}: {MOMENTS} moments of at least {_LINEAR_BANDS + 1} bands"
        )
    linear = _LINEAR_HZ * torch.arange(1, _LINEAR_BANDS + 1)
    highest = 0.92 * config.sample_rate / 2
    steps = torch.arange(1, bands - _LINEAR_BANDS + 1) / (bands - _LINEAR_BANDS)
    return torch.cat([linear, linear[-1] * (highest / linear[-1]) ** steps])


class BandAnalysis(nn.Module):
    """Computes latents of waves.

    Args:
        config: tells rate, stride and channels.
    """

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        self.hop = config.stride // MOMENTS
        centres = band_centres(config)
        edges = torch.cat([centres.new_zeros(1), centres, centres[-1:] * 1.1])
        hz = torch.linspace(0, config.sample_rate / 2, _FFT // 2 + 1)
        rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
        falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
        self.register_buffer("filters", torch.minimum(rising, falling).clamp(min=0))
        self.register_buffer("window", torch.hann_window(_FFT))
        self.filters: Tensor
        self.window: Tensor

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """Compute latents.

        Args:
            wave: ``[B, N]`` float32.

        Returns:
            ``[B, latent, N // stride]`` in [-1, 1]: the bands of the first moment of each frame,
            then those of the second.
        """
        frames = wave.shape[-1] // (MOMENTS * self.hop)
        before = _FFT // 2 - self.hop // 2  # a window is centred on its moment
        padded = F.pad(wave[..., : frames * MOMENTS * self.hop], (before, _FFT))
        spectrum = torch.stft(
            padded, _FFT, self.hop, window=self.window, center=False, return_complex=True
        )[..., : MOMENTS * frames]
        power = self.filters @ (spectrum.real.square() + spectrum.imag.square())
        # a sine of amplitude 1 gives a peak of (sum of the window / 2) squared
        level_db = 10 * torch.log10(power / (self.window.sum() / 2).square() + 1e-10)
        levels = ((level_db - _MIDDLE_DB) / _HALF_DB).clamp(-1, 1)  # [B, bands, 2 F]
        latents: Tensor = levels.reshape(*levels.shape[:2], frames, MOMENTS)
        return latents.permute(0, 3, 1, 2).flatten(1, 2)
