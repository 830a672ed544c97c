from __future__ import annotations

import torch

from uniaudio2.flow.noise import seeded_noise


def test_a_row_s_stream_does_not_depend_on_its_neighbours() -> None:
    alone = seeded_noise([5])
    want = [alone(0, 4, 3), alone(0, 4, 3)]
    among = seeded_noise([9, 5])
    among(0, 4, 3)
    first = among(1, 4, 3)
    among(0, 4, 3)
    assert torch.equal(first, want[0])
    assert torch.equal(among(1, 4, 3), want[1])
    assert not torch.equal(want[0], want[1])


def test_the_global_generator_is_not_touched() -> None:
    before = torch.get_rng_state()
    noise = seeded_noise([2**63 - 1])(0, 100, 50)
    assert torch.equal(torch.get_rng_state(), before)
    assert noise.dtype == torch.float32
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
