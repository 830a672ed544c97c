"""A language model small enough for milliseconds, with seeded weights, and a scripted one."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS, LmConfig, SpecialIds, StackConfig
from uniaudio2.lm.engine.request import RequestOutput
from uniaudio2.lm.kv_cache import KvCache
from uniaudio2.lm.model import SampleFn, UniAudioLM
from uniaudio2.tokens.grid import Prompt, reason_positions, semantic_positions, text_positions

BLOCK = {"dim": 24, "heads": 6, "kv_groups": 2, "mlp_dim": 20}

IDS = SpecialIds(
    reason_bos=9,
    reason_eos=10,
    reason_pad=11,
    semantic_bos=13,
    semantic_eos=12,
    semantic_pad=14,
    audio_prompt_bos=25,
    audio_prompt_eos=26,
    text_bos=256,
    text_eos=257,
    text_pad=258,
    tags={"transcription": (260, 261), "caption": (262, 263), "lyric": (264, 265)},
)

CONFIG = LmConfig(
    text_vocab=270,
    reason_card=12,
    semantic_card=15,
    reason_codes=9,
    semantic_codes=11,
    context=64,
    ids=IDS,
    backbone=StackConfig(layers=2, **BLOCK),
    understanding_expert=StackConfig(layers=2, **BLOCK),
    generation_expert=StackConfig(layers=1, **BLOCK),
    local_decoder=StackConfig(layers=2, dim=16, heads=4, kv_groups=4, mlp_dim=12),
)

REASON_EOS = [IDS.reason_eos] * CODEBOOKS
SEMANTIC_EOS = [IDS.semantic_eos + CONFIG.reason_card] * CODEBOOKS


def filled(lm: UniAudioLM, seed: int = 0, scale: float = 1.5) -> UniAudioLM:
    """Fill a model from a seed, with logits far enough apart for tests of equality."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in lm.state_dict().values():
        drawn = torch.randn(tensor.shape, generator=generator)
        spread = scale * tensor.shape[-1] ** -0.5
        tensor.copy_(1 + 0.1 * drawn if tensor.ndim == 1 else spread * drawn)
    lm.text_head.weight.data[IDS.text_eos] *= 4  # else hardly any answer would end by itself
    lm.audio_head.data[0, :, [REASON_EOS[0], SEMANTIC_EOS[0]]] *= 2
    return lm.eval().requires_grad_(False)


def small_lm(seed: int = 0, config: LmConfig = CONFIG) -> UniAudioLM:
    return filled(UniAudioLM(config), seed)


def codes(length: int, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, size, (length, CODEBOOKS), generator=generator)  # [T, 8]


def text_prompt(length: int, seed: int = 0) -> Prompt:
    generator = torch.Generator().manual_seed(seed)
    return text_positions(torch.randint(0, 256, (length,), generator=generator).tolist(), CONFIG)


def audio_prompt(reason: int, recon: int, seed: int = 0) -> Prompt:
    """Text, reasoning and reconstruction codes: ``3 + (reason + 2) + (recon + 2)`` positions."""
    return Prompt.join(
        [
            text_prompt(3, seed),
            reason_positions(codes(reason, 9, seed), CONFIG),
            semantic_positions(codes(recon, 11, seed + 1), CONFIG),
        ]
    )


def same(got: RequestOutput, want: RequestOutput) -> bool:
    """Whether two outputs are the same."""
    return (
        got.text_ids == want.text_ids
        and torch.equal(got.codes.reason, want.codes.reason)
        and torch.equal(got.codes.recon, want.codes.recon)
        and (got.finish_reason, got.steps) == (want.finish_reason, want.steps)
    )


class ScriptedLm(UniAudioLM):
    """Always chooses the next frame (or text id) of a script, whatever the prompt says."""

    def __init__(
        self, frames: list[list[int]] | None = None, text: list[int] | None = None
    ) -> None:
        super().__init__(CONFIG)
        filled(self)
        self.frames = frames or []
        self.text = text or []
        self.at = -1

    def step(self, *args: object, **kwargs: object) -> Tensor:
        self.at += 1
        hidden: Tensor = super().step(*args, **kwargs)
        if self.text:
            hidden = torch.zeros_like(hidden)
            hidden[:, 0] = 1.0
            self.text_head.weight.zero_()
            self.text_head.weight[self.text[self.at], 0] = 9.0
        return hidden

    def generate_frame(
        self, hidden: Tensor, sample: SampleFn, cache: KvCache | None = None
    ) -> Tensor:
        def logits_of(depth: int, sequences: Tensor | None, first: int, stop: int) -> Tensor:
            count = len(hidden) if sequences is None else len(sequences)
            logits = torch.zeros(count, CONFIG.audio_vocab)
            logits[:, self.frames[self.at][depth]] = 9.0
            return logits[:, first:stop]

        ids = [sample(depth, partial(logits_of, depth)) for depth in range(CODEBOOKS)]
        return torch.stack(ids, dim=1)
