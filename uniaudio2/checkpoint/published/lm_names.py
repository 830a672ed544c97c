"""Published names of the language model's tensors (file ``['model']`` of the checkpoint)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from uniaudio2.checkpoint.rules import Rule
from uniaudio2.config import LmConfig

_STACKS = {
    "backbone": "backbone",
    "audio_understanding_expert": "understanding_expert",
    "audio_generation_expert": "generation_expert",
    "decoder": "local_decoder",
}

_BLOCK = {
    r"norm_1": "attention_norm",
    r"attn\.qkv": "qkv",
    r"attn\.proj": "out",
    r"norm_2": "mlp_norm",
    r"mlp\.fc_1": "gate",
    r"mlp\.fc_2": "up",
    r"mlp\.proj": "down",
}

_OUTSIDE_STACKS = (
    Rule(r"audio_head", "audio_head"),
    Rule(r"audio_embeddings\.weight", "audio_embedding.weight"),
    Rule(r"projection\.weight", "projection.weight"),
    Rule(r"backbone\.lm_head\.weight", "text_head.weight"),
    Rule(r"backbone\.transformer\.wte\.weight", "text_embedding.weight"),
)

_MODULE = "module."


def lm_rules(config: LmConfig) -> tuple[Rule, ...]:
    """The name table; `config` gives the head counts that older files interleave by."""
    rules = list(_OUTSIDE_STACKS)
    for published, ours in _STACKS.items():
        stack = getattr(config, ours)
        rules += [
            Rule(
                rf"{published}\.transformer\.h\.(\d+)\.{theirs}\.weight",
                rf"{ours}.blocks.\1.{name}.weight",
            )
            for theirs, name in _BLOCK.items()
        ]
        rules += [
            Rule(
                rf"{published}\.transformer\.h\.(\d+)\.attn\.attn\.weight",
                rf"{ours}.blocks.\1.qkv.weight",
                change=partial(regroup_qkv, heads=stack.heads, groups=stack.kv_groups),
            ),
            Rule(rf"{published}\.transformer\.ln_f\.weight", rf"{ours}.norm.weight"),
        ]
    return tuple(rules)


def regroup_qkv(weight: Tensor, heads: int, groups: int) -> Tensor:
    """Reorder an interleaved projection: [q.. k v] of each group becomes [q..q | k..k | v..v].

    Args:
        weight: ``[(heads + 2 groups) x head, dim]`` as older checkpoints hold it under
            ``attn.attn.weight``.
        heads: query heads.
        groups: key-value groups.
    """
    share = heads // groups
    by_group = weight.view(groups, share + 2, -1, weight.shape[1])  # [groups, share + 2, head, D]
    parts = by_group[:, :share], by_group[:, share : share + 1], by_group[:, share + 1 :]
    return torch.cat([part.flatten(0, 2) for part in parts])


def strip_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what a training wrapper put before names: all up to the last ``module.``."""
    return {
        name.rpartition(_MODULE)[2] if name.startswith(_MODULE) else name: tensor
        for name, tensor in state.items()
    }
