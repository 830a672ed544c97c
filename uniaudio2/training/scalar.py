"""Stage 1: the scalar codec, on spectra alone, without a discriminator.

Phases are the decoder's own affair: latents that say nothing of them are easier to guess for the
flow transformer, whose codes do not hold them either.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torchaudio.functional
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio2.audio import SAMPLE_RATE
from uniaudio2.config import ScalarConfig
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.training.corpus import Clip, Corpus
from uniaudio2.training.loop import Loop, Losses, Schedule, dice_of

_CROP_FRAMES = 16
_BATCH = 8
_SPEECH_SHARE = 0.75
_SPECTRA = ((256, 32), (512, 64), (1024, 80), (2048, 128))  # n_fft, mel bands
_FLOOR = 5e-3
_QUIET = 0.5
_BLUR = 1 / 9  # rounding changes a latent by at most 1/18


class SpectralLoss(nn.Module):
    """Distances of mel spectra at several resolutions, linear and logarithmic."""

    def __init__(self) -> None:
        super().__init__()
        for n_fft, bands in _SPECTRA:
            filters = torchaudio.functional.melscale_fbanks(
                n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE
            )
            self.register_buffer(f"filters_{n_fft}", filters.T, persistent=False)
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def mel(self, wave: Tensor, n_fft: int) -> Tensor:
        """``[B, N]`` to mel magnitudes ``[B, bands, frames]``."""
        window = getattr(self, f"window_{n_fft}")
        spectrum = torch.stft(wave, n_fft, n_fft // 4, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        filters: Tensor = getattr(self, f"filters_{n_fft}")
        return ((filters @ power) / n_fft + _FLOOR**2).sqrt()

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Mean distance of two waves ``[B, N]``."""
        total = made.new_zeros(())
        for n_fft, _ in _SPECTRA:
            one, other = self.mel(made, n_fft), self.mel(wanted, n_fft)  # [B, bands, frames]
            # relative to the clip's energy: a tone that is missing costs all, however few bands
            missed = (one - other).norm(dim=(1, 2)) / other.norm(dim=(1, 2)).clamp(min=_QUIET)
            total = total + F.l1_loss(one.log(), other.log()) + 0.5 * missed.mean()
        return total / len(_SPECTRA)


def random_crop(clip: Clip, dice: random.Random, samples: int) -> Tensor:
    """A piece of a clip, ``[samples]``, at a random level; short clips end in silence."""
    start = dice.randint(0, max(clip.samples - samples, 0))
    wave = clip.wave()[start : start + samples]
    return F.pad(wave, (0, samples - len(wave))) * 10 ** (dice.uniform(-9, 3) / 20)


def blur(latents: Tensor) -> Tensor:
    """Add more than rounding changes: the decoder learns to bear latents that were guessed, and
    the encoder to spread them; unlike rounding it lets small ones through from the start."""
    return latents + _BLUR * (2 * torch.rand_like(latents) - 1)


@torch.no_grad()
def begin_loud(codec: ScalarCodec) -> None:
    """Draw weights that keep a signal's level through all layers: with torch's own, a wave would
    reach the latents far below the blur, and nothing would be learned."""
    for name, layer in codec.named_modules():
        if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        per_sample = layer.in_channels * layer.kernel_size[0]
        if isinstance(layer, nn.ConvTranspose1d):
            per_sample = per_sample // layer.stride[0]
        is_added = ".units." in name and name.endswith("conv2")
        nn.init.normal_(layer.weight, std=(0.2 if is_added else 1.3) * per_sample**-0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    layers = dict(codec.named_parameters())
    layers["encoder.0.weight"].mul_(10.0)  # waves are quiet
    layers[f"decoder.{len(codec.decoder) - 1}.weight"].mul_(0.1)


def train_scalar(
    folder: Path, corpus: Corpus, config: ScalarConfig, schedule: Schedule, seed: int, device: str
) -> ScalarCodec:
    """Train the scalar codec.

    Args:
        folder: where checkpoint, log and result go.
        corpus: clips.
        config: its sizes.
        schedule: how.
        seed: decides weights and batches.
        device: torch device.
    """
    torch.manual_seed(seed)
    codec = ScalarCodec(config)
    begin_loud(codec)
    codec = codec.to(device)
    spectral = SpectralLoss().to(device)
    speech = [clip for clip in corpus if clip.is_speech]
    sounds = [clip for clip in corpus if not clip.is_speech]
    samples = _CROP_FRAMES * config.stride
    loop = Loop(folder, "scalar", codec, schedule)

    def losses_of(step: int) -> Losses:
        dice = dice_of(seed, "scalar", step)
        clips = [
            dice.choice(speech if dice.random() < _SPEECH_SHARE else sounds) for _ in range(_BATCH)
        ]
        wave = torch.stack([random_crop(clip, dice, samples) for clip in clips]).to(device)
        torch.manual_seed(dice.getrandbits(62))
        latents = codec.encode(wave[:, None])
        made = codec.decoder(blur(latents))[:, 0]
        return {"loss": spectral(made, wave), "spread": latents.std()}

    loop.run(losses_of)
    codec = loop.load_result()  # type: ignore[assignment]  # the module that was given
    return codec
