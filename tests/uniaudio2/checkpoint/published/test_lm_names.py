from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.uniaudio2.lm.small import CONFIG, small_lm
from uniaudio2.checkpoint.published.lm_names import lm_rules, regroup_qkv, strip_module
from uniaudio2.checkpoint.rules import apply_rules, load_exactly
from uniaudio2.config import LmConfig
from uniaudio2.lm.model import UniAudioLM

LAYOUT = Path(__file__).parents[3] / "layouts" / "checkpoint-layout-llm.json"
VARIANTS: dict[str, Any] = json.loads(LAYOUT.read_text())["variants"]


@pytest.mark.parametrize("name", VARIANTS)
def test_published_layout_fits_the_full_model(name: str) -> None:
    variant, published = VARIANTS[name], LmConfig()
    layers = sum(
        tensor.startswith("decoder.") and tensor.endswith(".norm_1.weight")
        for tensor, _, _ in variant["tensors"]
    )
    local = published.local_decoder.model_copy(update={"layers": layers})
    config = published.model_copy(update={"local_decoder": local})

    def size(number: int | str) -> int:
        """A number, or a product such as ``8*A`` with A the audio vocabulary."""
        factors = str(number).split("*")
        return prod(config.audio_vocab if factor == "A" else int(factor) for factor in factors)

    state = {
        tensor: torch.empty([size(n) for n in shape], device="meta")
        for tensor, shape, _ in variant["tensors"]
    }
    assert len(state) == variant["n_tensors"]
    mapped = apply_rules(state, lm_rules(config))
    assert mapped.unknown == [] and mapped.ignored == {}
    with torch.device("meta"):
        lm = UniAudioLM(config)
    want = {tensor: value.shape for tensor, value in lm.state_dict().items()}
    assert {tensor: value.shape for tensor, value in mapped.state.items()} == want


def published_state(lm: UniAudioLM) -> dict[str, Tensor]:
    """Our tensors under the published names, found by mapping the names of a layout."""
    names = {}
    for tensor, _, _ in next(iter(VARIANTS.values()))["tensors"]:
        (ours,) = apply_rules({tensor: torch.zeros(8, 8)}, lm_rules(CONFIG)).state
        names[ours] = tensor
    return {names[name]: value for name, value in lm.state_dict().items()}


def interleaved(weight: Tensor, heads: int, groups: int) -> Tensor:
    """The older order: for each group its queries, its key, its value."""
    share, width = heads // groups, weight.shape[0] // (heads + 2 * groups)
    by_head = list(weight.split(width))
    queries, keys, values = (
        by_head[:heads],
        by_head[heads : heads + groups],
        by_head[heads + groups :],
    )
    parts = []
    for group in range(groups):
        parts += [*queries[group * share : (group + 1) * share], keys[group], values[group]]
    return torch.cat(parts)


def test_older_files_with_interleaved_projections_load_the_same() -> None:
    lm = small_lm()
    stacks = {
        "backbone": CONFIG.backbone,
        "audio_understanding_expert": CONFIG.understanding_expert,
        "audio_generation_expert": CONFIG.generation_expert,
        "decoder": CONFIG.local_decoder,
    }
    older = {}
    for name, tensor in published_state(lm).items():
        if name.endswith("attn.qkv.weight"):
            stack = stacks[name.split(".")[0]]
            tensor = interleaved(tensor, stack.heads, stack.kv_groups)
            name = name.replace("attn.qkv", "attn.attn")
        older["module." + name] = tensor
    mapped = apply_rules(strip_module(older), lm_rules(CONFIG))
    assert mapped.unknown == []
    loaded = UniAudioLM(CONFIG)
    load_exactly(loaded, mapped.state)
    for name, tensor in lm.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_regroup_by_hand() -> None:
    """Two groups of two queries: [q0 q1 k0 v0 q2 q3 k1 v1] becomes [q0..q3 k0 k1 v0 v1]."""
    rows = torch.arange(8.0)[:, None]
    assert regroup_qkv(rows, heads=4, groups=2).flatten().tolist() == [0, 1, 4, 5, 2, 6, 3, 7]


def test_strip_module_keeps_what_follows_the_last_one() -> None:
    one = torch.zeros(1)
    got = strip_module({"module.a.module.b.c": one, "d.module.e": one, "f": one})
    assert list(got) == ["b.c", "d.module.e", "f"]


def test_a_name_that_no_rule_knows_is_reported() -> None:
    mapped = apply_rules({"backbone.transformer.h.0.attn.bias": torch.zeros(1)}, lm_rules(CONFIG))
    assert mapped.unknown == ["backbone.transformer.h.0.attn.bias"]
