from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from uniaudio2.flow.euler import integrate, prefix_mask, step_times

FRAMES, LATENT = 5, 2


class Field:
    """A velocity field that is known in closed form, and what it was asked."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.states: list[Tensor] = []
        self.incontexts: list[Tensor] = []

    def times(self, times: Tensor) -> Any:
        self.starts = times
        return self

    def at(self, step: int) -> int:
        return step

    def __call__(self, state: Tensor, incontext: Tensor, mu: Tensor, step: int) -> Tensor:
        self.states.append(state)
        self.incontexts.append(incontext)
        return self.scale * mu[..., :LATENT]


def inputs(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise, incontext = torch.randn(2, batch, FRAMES, LATENT, generator=generator)
    return noise, incontext, torch.randn(batch, FRAMES, 4, generator=generator)


@pytest.mark.parametrize("steps", [1, 3, 10, 50])
def test_steps_run_from_zero_to_one(steps: int) -> None:
    starts, lengths = step_times(steps)
    assert len(starts) == len(lengths) == steps
    assert starts == pytest.approx([step / steps for step in range(steps)], abs=1e-6)
    assert sum(lengths) == pytest.approx(1, abs=1e-6)


def test_time_is_accumulated_in_float32() -> None:
    for steps in range(1, 60):
        starts, lengths = step_times(steps)
        time = torch.zeros(())
        for start, length in zip(starts, lengths, strict=True):
            assert time.item() == start
            time = time + torch.tensor(length)
        assert time.item() == 1


def test_guidance_scales_what_the_conditioning_adds() -> None:
    noise, incontext, mu = inputs()
    for guidance in (1.0, 1.5, 3.0):
        got = integrate(Field(), noise, incontext, 0, mu, 4, guidance)
        torch.testing.assert_close(got, noise + guidance * mu[..., :LATENT], atol=1e-5, rtol=0)


def test_guidance_doubles_the_batch_and_none_does_not() -> None:
    noise, incontext, mu = inputs()
    for guidance, items in ((1.0, 2), (1.5, 4)):
        field = Field()
        integrate(field, noise, incontext, 2, mu, 3, guidance)
        assert [len(state) for state in field.states] == [items] * 3
        kept = field.incontexts[0][:, :2]
        assert torch.equal(kept, incontext[:, :2].repeat(items // 2, 1, 1))


def test_known_frames_are_blended_at_the_start_of_every_step() -> None:
    noise, incontext, mu = inputs()
    field = Field(scale=0.0)
    got = integrate(field, noise, incontext, 3, mu, 4, 1.0)
    assert field.starts.tolist() == [0, 0.25, 0.5, 0.75]
    for state, start in zip([*field.states, got], [0, 0.25, 0.5, 0.75, 0.75], strict=True):
        blend = (1 - (1 - 1e-4) * start) * noise + start * incontext
        torch.testing.assert_close(state[:, :3], blend[:, :3], atol=1e-6, rtol=0)
        assert torch.equal(state[:, 3:], noise[:, 3:])


def test_items_may_know_different_numbers_of_frames() -> None:
    noise, incontext, mu = inputs()
    counts = torch.tensor([0, 4])
    together = integrate(Field(), noise, incontext, counts, mu, 3, 1.5)
    for item, count in enumerate(counts.tolist()):
        one = slice(item, item + 1)
        alone = integrate(Field(), noise[one], incontext[one], count, mu[one], 3, 1.5)
        assert torch.equal(together[one], alone)


def test_the_field_sees_known_frames_only() -> None:
    noise, incontext, mu = inputs()
    field = Field()
    integrate(field, noise, incontext, torch.tensor([1, 2]), mu, 1, 1.0)
    assert torch.equal(field.incontexts[0][0, 1:], torch.zeros(FRAMES - 1, LATENT))
    assert torch.equal(field.incontexts[0][1, 2:], torch.zeros(FRAMES - 2, LATENT))


def test_arguments_are_left_as_they_are() -> None:
    given = inputs()
    copies = [tensor.clone() for tensor in given]
    integrate(Field(), given[0], given[1], 3, given[2], 2, 1.5)
    assert all(torch.equal(*pair) for pair in zip(given, copies, strict=True))


def test_prefix_mask_takes_one_count_or_one_per_item() -> None:
    device = torch.device("cpu")
    assert prefix_mask(2, 3, device)[..., 0].tolist() == [[True, True, False]]
    several = prefix_mask(torch.tensor([0, 3]), 3, device)[..., 0]
    assert several.tolist() == [[False] * 3, [True] * 3]


@pytest.mark.parametrize(("steps", "guidance"), [(0, 1.5), (2, 0.5)])
def test_settings_out_of_range_are_refused(steps: int, guidance: float) -> None:
    noise, incontext, mu = inputs()
    with pytest.raises(ValueError, match="must be at least 1"):
        integrate(Field(), noise, incontext, 0, mu, steps, guidance)
