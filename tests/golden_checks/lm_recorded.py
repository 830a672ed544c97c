"""The recorded language model: its configuration, weights and prompts."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from tests.golden_checks.vectors import GoldenPair
from uniaudio2.checkpoint.published.lm_names import lm_rules
from uniaudio2.checkpoint.rules import apply_rules, load_exactly
from uniaudio2.config import LmConfig, RopeConfig, SpecialIds, StackConfig
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.prompt import build_prompt
from uniaudio2.tasks.table import TASKS
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import AUDIO, TEXT, TEXT_COLUMN, Prompt


def stack_config(sizes: dict[str, int]) -> StackConfig:
    return StackConfig(
        layers=sizes["n_layer"],
        dim=sizes["n_embd"],
        heads=sizes["n_head"],
        kv_groups=sizes["n_query_groups"],
        mlp_dim=sizes["intermediate_size"],
    )


def special_ids(ids: dict[str, Any]) -> SpecialIds:
    special: dict[str, int] = ids["special"]
    names = [word[1:-1] for word in special if not word.startswith("</")]
    return SpecialIds(
        reason_bos=ids["reason_bos"],
        reason_eos=ids["reason_eos"],
        reason_pad=ids["reason_pad_token"],
        semantic_bos=ids["semantic_bos"],
        semantic_eos=ids["semantic_eos"],
        semantic_pad=ids["semantic_pad_token"],
        audio_prompt_bos=ids["audio_prompt_bos"],
        audio_prompt_eos=ids["audio_prompt_eos"],
        text_bos=ids["text_bos"],
        text_eos=ids["text_stop"],
        text_pad=ids["text_pad_token"],
        tags={
            name: (special[f"<{name}>"], special[f"</{name}>"])
            for name in names
            if f"</{name}>" in special
        },
    )


def rope_config(config: dict[str, Any]) -> RopeConfig:
    scaling = config["rope_scaling"]
    return RopeConfig(
        base=config["rope_base"],
        factor=scaling["factor"],
        low_freq_factor=scaling["low_freq_factor"],
        high_freq_factor=scaling["high_freq_factor"],
        original_context=scaling["original_max_seq_len"],
    )


def lm_config(info: dict[str, Any]) -> LmConfig:
    """The configuration that a file describes; every id of a card counts as a code."""
    config = info["config"]
    return LmConfig(
        text_vocab=config["padded_text_vocab"],
        reason_card=config["audio_reason_card"],
        semantic_card=config["audio_semantic_card"],
        reason_codes=None,
        semantic_codes=None,
        context=config["kv_cache_len"],
        norm_eps=config["norm_eps"],
        rope=rope_config(config),
        ids=special_ids(info["ids"]),
        backbone=stack_config(config["backbone"]),
        understanding_expert=stack_config(config["understanding_expert"]),
        generation_expert=stack_config(config["generation_expert"]),
        local_decoder=stack_config(config["local_decoder"]),
    )


@cache
def load(pair: GoldenPair) -> UniAudioLM:
    """The recorded model, from its published names."""
    config = lm_config(pair.info)
    mapped = apply_rules(pair.weights, lm_rules(config))
    assert not mapped.unknown, mapped.unknown
    assert not mapped.ignored, mapped.ignored
    lm = UniAudioLM(config)
    load_exactly(lm, mapped.state)
    return lm.eval().requires_grad_(False)


def kind_of(mask: Tensor) -> Tensor:
    """Kinds of positions from a published mask ``[..., 9]``."""
    kind = mask[..., 0] * AUDIO + mask[..., TEXT_COLUMN] * TEXT
    return kind.to(torch.uint8)


def recorded_prompt(pair: GoldenPair, tokens: str, mask: str) -> Prompt:
    return Prompt(pair.tensors[tokens], kind_of(pair.tensors[mask]))


def layout_names(pair: GoldenPair) -> list[str]:
    return [n for n in pair.tensors if n.startswith("layout.") and n.endswith(".tokens")]


def recorded_layout(pair: GoldenPair, tokens: str) -> Prompt:
    return recorded_prompt(pair, tokens, tokens.replace(".tokens", ".mask"))


def tts_prompt(pair: GoldenPair) -> Prompt:
    text = pair.tensors["tts.text"].tolist()
    instruction = pair.tensors["tts.task_prompt"].tolist()
    return build_prompt(TASKS["tts"], instruction, {"text": text}, load(pair).config)


def recorded_codes(pair: GoldenPair) -> Codes:
    return Codes(pair.tensors["asr.reason"], pair.tensors["asr.semantic"])


def asr_prompt(pair: GoldenPair) -> Prompt:
    instruction = pair.tensors["asr.task_prompt"].tolist()
    values = {"audio": recorded_codes(pair)}
    return build_prompt(TASKS["asr"], instruction, values, load(pair).config)
