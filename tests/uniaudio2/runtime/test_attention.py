from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from uniaudio2.runtime import attention as module
from uniaudio2.runtime.attention import attention

FRAMES = 37


def heads() -> list[Tensor]:
    """Queries, keys and values ``[2, 3, T, 8]``, as linear layers leave them."""
    torch.manual_seed(0)
    return list(torch.randn(3, 2, FRAMES, 3, 8).transpose(2, 3))


def gated_bias() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 3, FRAMES, 1), torch.randn(3, 2 * FRAMES - 1)


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("block", [1 << 20, 5 * 4 * FRAMES])
def test_blocks_give_what_torch_gives(
    monkeypatch: pytest.MonkeyPatch, block: int, scale: float | None
) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", block)
    monkeypatch.setattr(module, "_FEWEST_QUERIES", 1)
    monkeypatch.setattr(module, "_SHORT", 1)
    query, key, value = heads()
    want = functional.scaled_dot_product_attention(query, key, value, scale=scale)
    with torch.no_grad():
        torch.testing.assert_close(attention(query, key, value, scale), want)


@pytest.mark.parametrize("short", [1, FRAMES + 1])
@pytest.mark.parametrize("grad", [False, True])
def test_every_query_gates_the_bias_of_its_distances(
    monkeypatch: pytest.MonkeyPatch, grad: bool, short: int
) -> None:
    monkeypatch.setattr(module, "_SHORT", short)
    query, key, value = heads()
    gate, bias = gated_bias()
    places = torch.arange(FRAMES)
    distances = places - places[:, None] + FRAMES - 1  # of a key after a query, from 0
    want = functional.scaled_dot_product_attention(query, key, value, gate * bias[:, distances])
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(attention(query, key, value, gate=gate, bias=bias), want)


def test_gradients_flow() -> None:
    query, key, value = (one.requires_grad_() for one in heads())
    gate, bias = gated_bias()
    attention(query, key, value, gate=gate, bias=bias.requires_grad_()).sum().backward()
    assert query.grad is not None
    assert bias.grad is not None


@pytest.mark.parametrize("short", [1, FRAMES + 1])
@pytest.mark.parametrize("grad", [False, True])
def test_heads_are_joined_without_a_copy(
    monkeypatch: pytest.MonkeyPatch, grad: bool, short: int
) -> None:
    monkeypatch.setattr(module, "_SHORT", short)
    with torch.set_grad_enabled(grad):
        assert attention(*heads()).transpose(1, 2).is_contiguous()
