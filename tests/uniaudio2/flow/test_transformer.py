from __future__ import annotations

import math

import pytest
import torch

from tests.uniaudio2.flow.small import FLOW, randomised
from uniaudio2.flow.transformer import FlowTransformer, position_table, time_table

LATENT, DIM, FRAMES = 3, 10, 6


@pytest.fixture(scope="module")
def transformer() -> FlowTransformer:
    model = FlowTransformer(FLOW, LATENT, DIM)
    randomised(model)
    return model


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    state, incontext = torch.randn(2, batch, FRAMES, LATENT, generator=generator)
    return state, incontext, torch.randn(batch, FRAMES, DIM, generator=generator)


def test_positions_alternate_sines_and_cosines() -> None:
    table = position_table(5, 8, torch.device("cpu"))
    assert table.shape == (5, 8)
    for position, column in ((0, 0), (3, 2), (4, 6)):
        angle = position * 10_000 ** (-column / 8)
        assert table[position, column].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert table[position, column + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_times_are_cosines_then_sines() -> None:
    table = time_table(torch.tensor([0.0, 0.25]))
    assert table.shape == (2, 512)
    for column in (0, 100, 255):
        angle = 250.0 * 10_000 ** (-column / 256)
        assert table[1, column].item() == pytest.approx(math.cos(angle), abs=1e-4)
        assert table[1, 256 + column].item() == pytest.approx(math.sin(angle), abs=1e-4)


def test_one_time_serves_a_batch_and_items_may_have_their_own(transformer: FlowTransformer) -> None:
    given = inputs(2)
    times = transformer.times(torch.tensor([0.1, 0.8]))
    each = transformer(*given, times)
    for item in range(2):
        common = transformer(*given, times.at(item))
        torch.testing.assert_close(each[item], common[item], atol=1e-6, rtol=0)
    assert not torch.allclose(each[0], transformer(*given, times.at(1))[0], atol=1e-3)


@pytest.mark.parametrize("number", range(3), ids=("state", "incontext", "mu"))
def test_every_frame_sees_every_input_of_the_last(
    transformer: FlowTransformer, number: int
) -> None:
    given = inputs(1)
    changed = [tensor.clone() for tensor in given]
    changed[number][:, -1] += 1
    times = transformer.times(torch.tensor([0.3]))
    difference = transformer(*changed, times) - transformer(*given, times)
    assert (difference.abs().amax(dim=-1) > 1e-6).all()


def test_order_matters(transformer: FlowTransformer) -> None:
    constant = [tensor[:, :1].expand(-1, FRAMES, -1) for tensor in inputs(1)]
    velocity = transformer(*constant, transformer.times(torch.tensor([0.3])))
    # Away from the edges that the convolutions see, only positions tell frames apart.
    assert not torch.allclose(velocity[:, 2], velocity[:, 3], atol=1e-4)
