from __future__ import annotations

import torch

from uniaudio2.codec.rotary import rotary_table, rotate


def test_pairs_turn_by_position_times_frequency() -> None:
    states = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    turned = rotate(states, rotary_table(5, 4, states.device))
    pairs = torch.complex(states[..., :2], states[..., 2:4])
    frequencies = 10_000.0 ** -torch.tensor([0.0, 0.5])
    want = pairs * torch.polar(torch.ones(5, 2), torch.arange(5.0)[:, None] * frequencies)
    torch.testing.assert_close(turned[..., :2], want.real)
    torch.testing.assert_close(turned[..., 2:4], want.imag)


def test_channels_beyond_the_table_pass() -> None:
    states = torch.randn(1, 3, 10, generator=torch.Generator().manual_seed(0))
    turned = rotate(states, rotary_table(3, 4, states.device))
    assert torch.equal(turned[..., 4:], states[..., 4:])
    assert not torch.equal(turned[:, 1:, :4], states[:, 1:, :4])
