"""Stage 1: the scalar codec's decoder, from band levels to waves, on spectra alone.

It begins as a bank of oscillators, one a band, and learns the rest.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torchaudio.functional
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.config import ScalarConfig
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.training.data.bands import MOMENTS, BandAnalysis, band_centres
from uniaudio2.training.data.corpus import Clip, Corpus
from uniaudio2.training.data.rng import step_rng
from uniaudio2.training.trainers.loop import Loop, Losses, Schedule

_CROP_FRAMES = 16
_BATCH = 8
_SPEECH_SHARE = 0.75
_SPECTRA = ((256, 32), (512, 64), (1024, 80), (2048, 128))  # n_fft, mel bands
_FLOOR = 5e-3
_QUIET = 0.5
_BLUR = 1 / 9  # rounding changes a latent by at most 1/18
_ATOM_LEVEL = 0.1
_QUIETLY = 0.05


class SpectralLoss(nn.Module):
    """Distances of mel spectra at several resolutions, logarithmic and relative."""

    def __init__(self) -> None:
        super().__init__()
        for n_fft, bands in _SPECTRA:
            filters = torchaudio.functional.melscale_fbanks(
                n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE
            )
            self.register_buffer(f"filters_{n_fft}", filters.T, persistent=False)
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def mel(self, wave: Tensor, n_fft: int) -> Tensor:
        """Compute of ``[B, N]`` mel magnitudes ``[B, bands, frames]``."""
        window = getattr(self, f"window_{n_fft}")
        spectrum = torch.stft(wave, n_fft, n_fft // 4, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        filters: Tensor = getattr(self, f"filters_{n_fft}")
        return ((filters @ power) / n_fft + _FLOOR**2).sqrt()

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Compute the mean distance of two waves ``[B, N]``."""
        total = made.new_zeros(())
        for n_fft, _ in _SPECTRA:
            one, other = self.mel(made, n_fft), self.mel(wanted, n_fft)  # [B, bands, frames]
            # relative to the clip's energy: a tone that is missing costs all, however few bands
            missed = (one - other).norm(dim=(1, 2)) / other.norm(dim=(1, 2)).clamp(min=_QUIET)
            total = total + F.l1_loss(one.log(), other.log()) + 0.5 * missed.mean()
        return total / len(_SPECTRA)


def random_crop(clip: Clip, rng: random.Random, samples: int) -> Tensor:
    """Cut a random crop of a clip, ``[samples]``, at a random level; short clips end in silence."""
    start = rng.randint(0, max(clip.samples - samples, 0))
    wave = clip.wave()[start : start + samples]
    return F.pad(wave, (0, samples - len(wave))) * 10 ** (rng.uniform(-9, 3) / 20)


@torch.no_grad()
def init_as_oscillators(codec: ScalarCodec) -> None:
    """Initialise the decoder so that every band's level drives a sound in that band.

    Levels pass the first layer as they are, the first up-sampling draws lines between the moments
    of a band, and the second holds the sounds, found by least squares through the layers behind
    it; residual units begin as almost nothing.

    Raises:
        ValueError: the decoder does not have two up-sampling blocks of fitting widths.
    """
    config, decoder = codec.config, codec.decoder
    centres = band_centres(config)
    bands = len(centres)
    if len(config.upsample_factors) != 2 or config.init_channel * 2 != bands:
        raise ValueError(
            f"{len(config.upsample_factors)} up-sampling blocks to {config.init_channel} channels "
            f"cannot hold {bands} bands: give 2 blocks and init_channel {bands // 2}"
        )
    for name, layer in decoder.named_modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # these layers have one
            if name.endswith("conv2"):
                layer.weight.mul_(_QUIETLY)
    parameters = dict(decoder.named_parameters())
    first = parameters["0.weight"].zero_()
    first[range(MOMENTS * bands), range(MOMENTS * bands), first.shape[-1] // 2] = 1.0
    parameters["0.bias"].fill_(1.0)  # silence is -1
    parameters["1.up.weight"].copy_(_lines(config, bands))
    behind = decoder[3:]  # sample repetition and the last convolution
    for activation in behind.modules():
        if isinstance(activation, nn.PReLU):
            nn.init.ones_(activation.weight)
    for name, parameter in behind.named_parameters():
        if name.endswith("weight") and parameter.ndim == 3:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    parameters["2.up.weight"].copy_(_atoms(config, centres, behind))


def _lines(config: ScalarConfig, bands: int) -> Tensor:
    """First up-sampling: ``[2 bands, bands, kernel]``, triangles around each moment."""
    factor, kernel = config.upsample_factors[0], config.upsample_kernel_sizes[0]
    times = torch.arange(kernel) - (kernel - factor) // 2
    weight = torch.zeros(MOMENTS * bands, bands, kernel)
    width = factor / MOMENTS
    for moment in range(MOMENTS):
        centre = (moment + 0.5) * width - 0.5
        triangle = (1 - (times - centre).abs() / width).clamp(min=0)
        weight[range(moment * bands, (moment + 1) * bands), range(bands)] = triangle
    return weight


def _atoms(config: ScalarConfig, centres: Tensor, behind: nn.Module) -> Tensor:
    """Second up-sampling: ``[bands, channels, kernel]``, each band's sound under a window.

    The sounds repeat with the stride, so their partials are multiples of its frequency.
    """
    kernel, channels = config.upsample_kernel_sizes[1], config.init_channel
    samples = kernel * config.num_samples
    basis = torch.eye(channels * kernel).view(-1, channels, kernel)
    reached = behind(basis)[:, 0]  # [channels * kernel, samples]
    grid_hz = 2 * config.sample_rate / samples
    edges = torch.cat([centres[:1] / 2, (centres[1:] * centres[:-1]).sqrt(), centres[-1:] * 1.05])
    times = torch.arange(samples) / config.sample_rate
    wanted = []
    for low, centre, high in zip(edges[:-1], centres, edges[1:], strict=True):
        inside = torch.arange(1, 200) * grid_hz
        inside = inside[(inside >= low) & (inside < high)]
        partials = inside if len(inside) else centre[None]
        phases = 2 * torch.pi * torch.rand(len(partials), 1)
        sound = torch.cos(2 * torch.pi * partials[:, None] * times + phases).sum(0)
        wanted.append(sound * torch.hann_window(samples) * len(partials) ** -0.5)
    target = _ATOM_LEVEL * torch.stack(wanted)  # [bands, samples]
    gram = reached.T @ reached
    gram += 1e-3 * gram.diagonal().mean() * torch.eye(samples)
    solved: Tensor = target @ torch.linalg.solve(gram, reached.T)
    return solved.view(len(centres), channels, kernel)


def blur(latents: Tensor) -> Tensor:
    """Add more than rounding changes, so that the decoder learns to bear guessed latents."""
    return latents + _BLUR * (2 * torch.rand_like(latents) - 1)


def train_scalar(
    folder: Path, corpus: Corpus, config: ScalarConfig, schedule: Schedule, seed: int, device: str
) -> ScalarCodec:
    """Train the scalar codec's decoder; it has no encoder.

    Args:
        folder: where checkpoint, log and result go.
        corpus: clips.
        config: its sizes.
        schedule: how.
        seed: decides weights and batches.
        device: torch device.
    """
    torch.manual_seed(seed)
    codec = ScalarCodec(config, with_encoder=False)
    init_as_oscillators(codec)
    codec = codec.to(device)
    analysis, spectral = BandAnalysis(config).to(device), SpectralLoss().to(device)
    speech, sounds = corpus.speech, corpus.sounds
    samples = _CROP_FRAMES * config.stride
    loop = Loop(folder, "scalar", codec, schedule)

    def losses_of(step: int) -> Losses:
        rng = step_rng(seed, "scalar", step)
        clips = [
            rng.choice(speech if rng.random() < _SPEECH_SHARE else sounds) for _ in range(_BATCH)
        ]
        wave = torch.stack([random_crop(clip, rng, samples) for clip in clips]).to(device)
        torch.manual_seed(rng.getrandbits(62))
        latents = analysis(wave)
        made = codec.decoder(blur(latents))[:, 0]
        return {"loss": spectral(made, wave), "spread": latents.std()}

    loop.run(losses_of)
    loop.load_result()
    return codec
