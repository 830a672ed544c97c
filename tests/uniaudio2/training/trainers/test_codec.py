from __future__ import annotations

import torch

from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.codec.reasoning import ReasoningBranch
from uniaudio2.training.data.augment import PackedSegment
from uniaudio2.training.recipe import NANO
from uniaudio2.training.trainers.codec import CodecTrainer, SymbolHead, init_queries, symbol_loss

MODEL = load_config(model_folder("tiny")).model_copy(update={"scalar": NANO.model.scalar})
CONFIG = MODEL.codec


def test_every_part_of_the_encoder_learns() -> None:
    torch.manual_seed(0)
    trainer = CodecTrainer(MODEL).train()
    wave = 0.1 * torch.randn(CONFIG.segment_samples)
    packed = [PackedSegment(wave, [1, 2], CONFIG.segment_samples), PackedSegment(wave, [], 0)]
    losses = trainer.losses(packed, (8, 6), seed=1)
    # spectra that an untrained head cannot have guessed
    assert float(losses["mel"].detach()) > 0.01 and float(losses["latents"].detach()) > 0.01
    losses["loss"].backward()
    idle = {
        name
        for name, parameter in trainer.encoder.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    }
    # the token that masking would use, positions that Whisper keeps fixed: neither is used
    assert all("masked_spec_embed" in name or "embed_positions" in name for name in idle), idle


def test_what_is_not_named_does_not_count() -> None:
    head = SymbolHead(dim=8, per_frame=2, reach=1)
    log_probs = head(torch.randn(2, 10, 8))
    assert log_probs.shape == (2, 20, 44)
    named, silent = PackedSegment(torch.zeros(1), [3], 24_000), PackedSegment(torch.zeros(1), [], 0)
    both = symbol_loss(log_probs, [named, silent], rate_hz=10)
    alone = symbol_loss(log_probs[:1], [named], rate_hz=10)
    assert torch.allclose(both, alone)
    assert float(symbol_loss(log_probs, [silent, silent], rate_hz=10).detach()) == 0.0


def test_query_tokens_begin_as_their_neighbours() -> None:
    torch.manual_seed(0)
    branch = ReasoningBranch(CONFIG, whisper_dim=16, music_dim=16)
    init_queries(branch)
    whisper, music = torch.randn(1, 16, 200), torch.randn(1, 16, 100)
    with torch.no_grad():
        before = branch(whisper, music)
        music[..., 50:55] += 3.0  # what the eleventh query follows
        moved = (branch(whisper, music) - before).norm(dim=-1)[0]
    assert int(moved.argmax()) in (9, 10, 11)
    assert float(moved[10]) > 3 * float(moved.median())
