from __future__ import annotations

import math

import pytest
import torch

from tests.uniaudio2.lm.small import small_lm, text_prompt
from uniaudio2.config import RopeConfig
from uniaudio2.lm.rope import Rope, frequencies, rope_tables, rotate, signed


def test_long_wavelengths_are_stretched_and_short_ones_kept() -> None:
    config, head_dim = RopeConfig(), 64
    scaled = frequencies(config, head_dim)
    plain = config.base ** -(torch.arange(0, head_dim, 2) / head_dim)
    wavelength = 2 * math.pi / plain
    short = wavelength < config.original_context / config.high_freq_factor
    long = wavelength > config.original_context / config.low_freq_factor
    assert short.any() and long.any() and (~short & ~long).any()
    torch.testing.assert_close(scaled[short], plain[short])
    torch.testing.assert_close(scaled[long], plain[long] / config.factor)
    between = ~short & ~long
    assert (scaled[between] < plain[between]).all()
    assert (scaled[between] > plain[between] / config.factor).all()


def test_scores_depend_on_distance_alone() -> None:
    cos, sin = Rope(RopeConfig(), 16, 40).tables(torch.device("cpu"))
    query, key = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(0))

    def score(query_at: int, key_at: int) -> float:
        turned = rotate(query, cos[query_at], sin[query_at])
        return float((turned * rotate(key, cos[key_at], sin[key_at])).sum())

    assert score(7, 3) == pytest.approx(score(39, 35), abs=1e-5)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotating_follows_the_formula_in_float32(dtype: torch.dtype) -> None:
    cos, sin = rope_tables(RopeConfig(), 8, 5)
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    left, right = x.float().chunk(2, dim=-1)
    want = (x.float() * cos + torch.cat((-right, left), dim=-1) * sin).to(dtype)
    assert torch.equal(rotate(x, cos, signed(sin)), want)


def test_tables_are_float32_and_the_input_dtype_comes_back() -> None:
    cos, sin = rope_tables(RopeConfig(), 8, 5)
    assert cos.dtype == sin.dtype == torch.float32
    assert rotate(torch.ones(1, 1, 5, 8, dtype=torch.bfloat16), cos, sin).dtype == torch.bfloat16


def test_tables_hold_only_the_positions_of_the_stack() -> None:
    lm = small_lm()
    assert lm.backbone.rope.tables(lm.device)[0].shape[0] == lm.config.context
    assert lm.local_decoder.rope.tables(lm.device)[0].shape[0] == 8
    assert not [name for name in lm.state_dict() if "cos" in name or "sin" in name]


def test_tables_made_on_the_way_to_generation_serve_training() -> None:
    rope = Rope(RopeConfig(), 8, 4)
    with torch.inference_mode():
        rope.tables(torch.device("cpu"))
    x = torch.ones(1, 1, 4, 8, requires_grad=True)
    rotate(x, *rope.tables(torch.device("cpu"))).sum().backward()
    assert x.grad is not None


def test_a_model_built_on_the_meta_device_has_real_tables() -> None:
    with torch.device("meta"):
        lm = type(small_lm())(small_lm().config)
    lm.load_state_dict(small_lm().state_dict(), assign=True)
    prompt = text_prompt(5)
    want = small_lm().hidden(prompt.tokens[None], prompt.kind[None])
    assert torch.equal(lm.hidden(prompt.tokens[None], prompt.kind[None]), want)
