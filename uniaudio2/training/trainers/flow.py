"""Stage 5: the flow transformer, from codes to the latents that the scalar codec decodes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from uniaudio2.config import CodecConfig, FlowConfig, ScalarConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.flow.euler import SIGMA_MIN, prefix_mask
from uniaudio2.flow.windows import FRAMES_PER_CODE, WindowPlan
from uniaudio2.training.data.bands import BandAnalysis
from uniaudio2.training.data.corpus import Corpus
from uniaudio2.training.data.encoded import EncodedClip, training_wave
from uniaudio2.training.data.rng import step_rng
from uniaudio2.training.trainers.loop import Loop, Losses, Schedule

_UNCONDITIONAL = 0.1
_CONTINUED = 0.3  # share of the windows that start from known frames
_FROM_THE_START = 0.6  # the others begin anywhere in a clip
_SPEECH_SHARE = 0.75


@dataclass(frozen=True)
class Window:
    """Codes ``[W, 8]``, their latents ``[2 W, latent]``, and how many of those are known."""

    codes: Tensor
    latents: Tensor
    known: int


class WindowMaker:
    """Cuts windows as the decoder does: what is missing repeats the clip.

    Args:
        corpus: clips.
        clips: the same, encoded.
        analysis: gives the latents.
        plan: the windows.
        codec: the codec's sizes.
        seed: with which the clips were encoded.
    """

    def __init__(
        self,
        corpus: Corpus,
        clips: Sequence[EncodedClip],
        analysis: BandAnalysis,
        plan: WindowPlan,
        codec: CodecConfig,
        seed: int,
    ) -> None:
        self.corpus, self.analysis, self.plan, self.codec = corpus, analysis, plan, codec
        self.seed = seed
        self.speech = [clip for clip in clips if clip.is_speech]
        self.sounds = [clip for clip in clips if not clip.is_speech]
        self._latents: dict[int, Tensor] = {}  # each clip is drawn several times

    def _analyse(self, clip: EncodedClip) -> Tensor:
        """Compute the latents of a clip's codes, ``[2 T, latent]`` float16."""
        wave = training_wave(self.corpus.clips[clip.number], clip.number, self.seed, self.codec)
        # the last code hears the start again, so its latents do too
        whole = wave.repeat(2)[: len(clip.codes.recon) * self.codec.recon_samples]
        latents: Tensor = self.analysis(whole[None])[0]
        return latents.T.half()

    def draw(self, rng: random.Random) -> Window:
        """Draw a random window of a random clip."""
        clip = rng.choice(self.speech if rng.random() < _SPEECH_SHARE else self.sounds)
        length = len(clip.codes.recon)
        if clip.number not in self._latents:
            self._latents[clip.number] = self._analyse(clip)
        latents = self._latents[clip.number].float()
        start = 0 if rng.random() < _FROM_THE_START else rng.randrange(length)
        at = (torch.arange(self.plan.codes) + start) % length  # [W]
        frames = (at[:, None] * FRAMES_PER_CODE + torch.arange(FRAMES_PER_CODE)).flatten()
        known = rng.randint(1, self.plan.incontext_frames) if rng.random() < _CONTINUED else 0
        return Window(clip.codes.recon[at], latents[frames], known)


def flow_losses(
    decoder: FlowDecoder, windows: Sequence[Window], generator: torch.Generator
) -> Losses:
    """Compute the distance of velocities, over the frames that are not known."""
    device = decoder.zero_condition.device
    latents = torch.stack([window.latents for window in windows]).to(device)  # [B, F, C]
    codes = torch.stack([window.codes for window in windows]).to(device)
    mu = decoder.stretch(decoder.embed(codes))
    is_unconditional = torch.rand(len(windows), 1, 1, generator=generator) < _UNCONDITIONAL
    mu = mu.where(~is_unconditional.to(device), 0)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    times = torch.rand(len(windows), generator=generator).to(device)
    counts = torch.tensor([window.known for window in windows], device=device)
    known = prefix_mask(counts, latents.shape[1], device)  # [B, F, 1]
    at = times[:, None, None]
    state = (1 - (1 - SIGMA_MIN) * at) * noise + at * latents
    velocity = decoder.transformer(
        state, latents.where(known, 0), mu, decoder.transformer.times(times)
    )
    wanted = latents - (1 - SIGMA_MIN) * noise
    error = F.mse_loss(velocity, wanted, reduction="none").where(~known, 0)
    loss = error.sum() / ((~known).sum() * latents.shape[-1])
    return {"loss": loss, "spread": latents.std()}


def train_flow(
    folder: Path,
    maker: WindowMaker,
    decoder: FlowDecoder,
    schedule: Schedule,
    seed: int,
    batch: int = 16,
) -> FlowDecoder:
    """Train the flow transformer and its conditioning; quantizers and scalar codec stay.

    Args:
        folder: where checkpoint, log and result go.
        maker: draws windows.
        decoder: its quantizers and scalar codec are finished.
        schedule: how.
        seed: decides the batches.
        batch: windows a step.
    """
    for part in (decoder.quantizers, decoder.scalar):
        part.requires_grad_(False)
    loop = Loop(folder, "flow", decoder.train(), schedule)

    def losses_of(step: int) -> Losses:
        rng = step_rng(seed, "flow", step)
        windows = [maker.draw(rng) for _ in range(batch)]
        return flow_losses(decoder, windows, torch.Generator().manual_seed(rng.getrandbits(62)))

    loop.run(losses_of)
    loop.load_result()
    return decoder


def new_decoder(
    flow: FlowConfig, codec: CodecConfig, scalar: ScalarConfig, seed: int
) -> FlowDecoder:
    """Make a decoder whose gates begin nearly closed, so that deep stacks train from the start."""
    torch.manual_seed(seed)
    decoder = FlowDecoder(flow, codec, scalar)
    torch.nn.init.normal_(decoder.transformer.modulation.weight, std=0.01)
    torch.nn.init.zeros_(decoder.transformer.modulation.bias)
    return decoder
