"""Stage 3: the codec with its three encoders, so that codes carry words, events and spectra.

There is nothing to distil from, so the encoders that the published codec keeps frozen are trained
along. A recognition loss on the reasoning codes and on the pronunciation codes makes them carry
text; spectra predicted from the reconstruction codes make those carry sound.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.features import Features
from uniaudio2.codec.reasoning import ReasoningBlock, ReasoningBranch
from uniaudio2.config import ModelConfig
from uniaudio2.flow.windows import FRAMES_PER_CODE
from uniaudio2.training.data.augment import PackedSegment, pack
from uniaudio2.training.data.bands import BandAnalysis
from uniaudio2.training.data.corpus import Corpus
from uniaudio2.training.data.domain import SYMBOLS
from uniaudio2.training.data.rng import step_rng
from uniaudio2.training.trainers.learning_vq import LearningVQ
from uniaudio2.training.trainers.loop import Loop, Losses, Schedule

_CLASSES = len(SYMBOLS) + 1
_PER_QUERY = 2  # symbols that one reasoning frame (5 Hz) may name
_MELS_PER_CODE = 8
_WIDTH = 256
_FIRST_SCALE = 0.3
_FAST_ROTATIONS, _NEARNESS = 5, 3**0.5
_ALL_LEVELS = 0.5  # share of the steps that use every level


class SymbolHead(nn.Module):
    """Classifies frames, a few symbols per frame, from `reach` frames on each side."""

    def __init__(self, dim: int, per_frame: int, reach: int) -> None:
        super().__init__()
        self.per_frame = per_frame
        self.near = nn.Conv1d(dim, dim, 2 * reach + 1, padding=reach)
        self.out = nn.Linear(dim, per_frame * _CLASSES)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, dim]`` to log probabilities ``[B, per_frame * T, classes]``."""
        inner = F.gelu(self.near(frames.transpose(1, 2)).transpose(1, 2))
        classes: Tensor = self.out(inner)  # [B, T, per_frame * classes]
        return classes.reshape(len(frames), -1, _CLASSES).log_softmax(-1)


def symbol_loss(log_probs: Tensor, packed: list[PackedSegment], rate_hz: float) -> Tensor:
    """Compute the CTC loss of ``[B, T, classes]`` at `rate_hz` over each wave's named part."""
    device = log_probs.device
    lengths = [min(int(one.covered * rate_hz / SAMPLE_RATE), log_probs.shape[1]) for one in packed]
    named = [index for index, one in enumerate(packed) if one.symbols]
    if not named:
        return log_probs.sum() * 0.0
    targets = torch.tensor([s for index in named for s in packed[index].symbols], device=device)
    return F.ctc_loss(
        log_probs[named].transpose(0, 1),
        targets,
        torch.tensor([lengths[index] for index in named]),
        torch.tensor([len(packed[index].symbols) for index in named]),
        zero_infinity=True,
    )


class CodecTrainer(nn.Module):
    """The encoder and what only training needs: learning quantizers, heads, a spectrum decoder.

    Args:
        model: the codec's sizes, and the scalar codec's, whose latents codes shall tell.
        bfloat16: run the encoders' products in bfloat16; quantizers stay exact.
    """

    def __init__(self, model: ModelConfig, bfloat16: bool = False) -> None:
        super().__init__()
        config = model.codec
        self.uses_bfloat16 = bfloat16
        self.encoder = CodecEncoder(config)
        for module in self.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # the data is endless, the model small
        quantizers = self.encoder.quantizers
        self.reasoning = LearningVQ(quantizers.reasoning)
        self.recon = nn.ModuleList(
            LearningVQ(vq)
            for vq in (quantizers.pronunciation, quantizers.structure, quantizers.acoustic)
        )
        self.merged_head = SymbolHead(config.dim, 1, reach=5)
        self.reason_head = SymbolHead(config.dim, _PER_QUERY, reach=1)
        self.phone_head = SymbolHead(config.dim, 1, reach=3)
        self.analysis = BandAnalysis(model.scalar)
        bands = self.encoder.features.mel_bins
        self.sizes = (_MELS_PER_CODE * bands, FRAMES_PER_CODE * model.scalar.latent_hidden_dim)
        self.spectra = nn.Sequential(
            nn.Conv1d(config.dim, _WIDTH, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(_WIDTH, _WIDTH, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(_WIDTH, sum(self.sizes), 1),
        )
        self._mel = torch.empty(0)
        self.encoder.features.whisper.conv1.register_forward_pre_hook(self._keep_mel)

    def _keep_mel(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Keep the mel that Whisper is given: `spectra` shall predict it."""
        self._mel = inputs[0].detach()  # [B, bands, 8 T]

    def _wanted_spectra(self, wave: Tensor, codes: int) -> tuple[Tensor, Tensor]:
        """Compute mel ``[B, T, 8 * bands]`` and latents ``[B, T, 2 * latent]`` of waves."""
        mel = self._mel.view(*self._mel.shape[:2], codes, _MELS_PER_CODE)  # [B, bands, T, 8]
        latents = self.analysis(wave)[..., : codes * FRAMES_PER_CODE]  # [B, latent, 2 T]
        frames = latents.transpose(1, 2).reshape(len(wave), codes, -1)
        return mel.permute(0, 2, 1, 3).flatten(2), frames

    def losses(self, packed: list[PackedSegment], levels: tuple[int, int], seed: int) -> Losses:
        """Compute the losses of a batch.

        Args:
            packed: segments.
            levels: of the reasoning and of the acoustic quantizer, in this step.
            seed: of the codebooks' random choices.
        """
        device = next(self.parameters()).device
        wave = torch.stack([one.wave for one in packed]).to(device)  # [B, N]
        generator = torch.Generator().manual_seed(seed)
        encoder = self.encoder
        with torch.autocast(device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            encoded = encoder.features(wave)
        features = Features(**{name: tensor.float() for name, tensor in vars(encoded).items()})
        merged = encoder.thinking.merge(features.whisper, features.semantic)  # [B, T, dim]
        queries = encoder.thinking(features.whisper, features.semantic)  # [B, T / 5, dim]
        reasoning, kept = self.reasoning(queries, levels[0], generator)
        fused = encoder.branches.fuse(features)
        modulation = encoder.quantizers.adapt_reasoning(reasoning, fused[0].shape[1])
        branches = encoder.branches.modulate(fused, modulation)
        used = (1, 1, levels[1])
        made = [
            vq(branch, n, generator)
            for vq, branch, n in zip(self.recon, branches, used, strict=True)
        ]
        recon = sum((one for one, _ in made), torch.zeros_like(made[0][0]))
        guessed = self.spectra(recon.transpose(1, 2)).transpose(1, 2).split(self.sizes, dim=2)
        mel, latents = self._wanted_spectra(wave, recon.shape[1])
        return self._total(
            merged=symbol_loss(self.merged_head(merged), packed, 25),
            reasoning=symbol_loss(self.reason_head(reasoning), packed, 5 * _PER_QUERY),
            queries=symbol_loss(self.reason_head(queries), packed, 5 * _PER_QUERY),
            phones=symbol_loss(self.phone_head(made[0][0]), packed, 12.5),
            before=symbol_loss(self.phone_head(branches[0]), packed, 12.5),
            mel=F.l1_loss(guessed[0], mel),
            latents=F.l1_loss(guessed[1], latents),
            commitment=kept + sum((loss for _, loss in made), torch.zeros_like(kept)),
        )

    @staticmethod
    def _total(**losses: Tensor) -> Losses:
        weights = {"mel": 2.0, "latents": 8.0, "commitment": 0.25}
        total = sum((weights.get(name, 0.5) * loss for name, loss in losses.items()))
        assert isinstance(total, Tensor)  # noqa: S101 - sum's type begins with 0
        return {"loss": total} | losses


@torch.no_grad()
def init_queries(branch: ReasoningBranch) -> None:
    """Initialise queries so that every query token attends to the frames near it.

    Equal biases on queries and keys make their product, once rotated, a sum of cosines of their
    distance; with the faster rotations alone it falls within a few frames. Left to find that by
    itself, the query token is a mean of everything for a long time.
    """
    nn.init.normal_(branch.query_token, std=0.1)
    for block in branch.blocks:
        assert isinstance(block, ReasoningBlock)  # noqa: S101 - ModuleList forgets types
        spread = block.out.in_features**-0.5
        nn.init.normal_(block.qkv.weight, std=spread)
        nn.init.normal_(block.out.weight, std=spread)
        nn.init.constant_(block.mlp_scale, _FIRST_SCALE)  # there are no norms to hold it
        half = block.rotary_width // 2
        for norm in (block.q_norm, block.k_norm):
            for start in (0, half):  # both members of a rotated pair
                norm.bias[start : start + _FAST_ROTATIONS] = _NEARNESS


def train_codec(
    folder: Path,
    corpus: Corpus,
    model: ModelConfig,
    schedule: Schedule,
    seed: int,
    device: str,
    batch: int = 8,
) -> CodecTrainer:
    """Train the codec and its encoders.

    Args:
        folder: where checkpoint, log and result go.
        corpus: clips.
        model: its sizes, and the scalar codec's.
        schedule: how.
        seed: decides weights and batches.
        device: torch device.
        batch: segments a step.
    """
    torch.manual_seed(seed)
    config = model.codec
    trainer = CodecTrainer(model, schedule.bfloat16).to(device).train()
    init_queries(trainer.encoder.thinking)
    speech, sounds = corpus.speech, corpus.sounds
    # the trainer itself knows which products may be rounded
    loop = Loop(folder, "codec", trainer, schedule.model_copy(update={"bfloat16": False}))

    def losses_of(step: int) -> Losses:
        rng = step_rng(seed, "codec", step)
        packed = [pack(speech, sounds, rng, config.segment_samples) for _ in range(batch)]
        most = (config.reasoning.levels, config.acoustic.levels)
        levels = (rng.randint(1, most[0]), rng.randint(1, most[1]))
        used = most if rng.random() < _ALL_LEVELS else levels
        return trainer.losses(packed, used, rng.getrandbits(62))

    loop.run(losses_of)
    loop.load_result()
    return trainer
