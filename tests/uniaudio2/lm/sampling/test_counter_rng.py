from __future__ import annotations

import torch

from uniaudio2.lm.sampling.counter_rng import exponential, mix, to_unit, uniform

IDS = torch.arange(20_001)


def words(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def chi_square(values: torch.Tensor, bins: int = 64) -> float:
    """Standardised chi-square of numbers in (0, 1) against the uniform law: about N(0, 1)."""
    counts = torch.histc(values.double(), bins=bins, min=0.0, max=1.0)
    expected = values.numel() / bins
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - (bins - 1)) / (2 * (bins - 1)) ** 0.5


def test_mix_is_the_published_finaliser() -> None:
    """The first outputs of splitmix64 from state 0."""
    gamma = 0x9E3779B97F4A7C15 - (1 << 64)
    states = torch.tensor([1, 2, 3]) * gamma
    unsigned = [word % (1 << 64) for word in mix(states).tolist()]
    assert unsigned == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_the_largest_and_smallest_words_stay_inside_the_interval() -> None:
    inside = to_unit(torch.tensor([-1, 0]))
    assert inside[0] < 1 and inside[1] > 0
    assert inside[0] > 0.999 and inside[1] < 1e-15


def test_a_number_depends_on_its_own_place_alone() -> None:
    seeds, steps = words(5, 123456789, 2**62), words(0, 7, 400)
    batch = uniform(seeds, steps, 3, IDS[:50])
    for row in range(3):
        alone = uniform(seeds[row : row + 1], steps[row : row + 1], 3, IDS[:50])
        assert torch.equal(alone[0], batch[row])
    assert torch.equal(uniform(seeds, steps, 3, IDS[:20]), batch[:, :20])
    assert torch.equal(uniform(seeds.flip(0), steps.flip(0), 3, IDS[:50]), batch.flip(0))


def test_every_coordinate_matters() -> None:
    base = uniform(words(1), words(1), 1, IDS[:1000])
    for other in (
        uniform(words(2), words(1), 1, IDS[:1000]),
        uniform(words(1), words(2), 1, IDS[:1000]),
        uniform(words(1), words(1), 2, IDS[:1000]),
    ):
        assert not (other == base).any()
        correlation = torch.corrcoef(torch.cat([base, other]))[0, 1]
        assert abs(float(correlation)) < 0.15
    assert base.unique().numel() == 1000


def test_no_column_of_one_step_is_a_column_of_another() -> None:
    steps = torch.arange(40)
    drawn = torch.stack([uniform(torch.full_like(steps, 9), steps, c, IDS[:1]) for c in range(9)])
    assert drawn.unique().numel() == drawn.numel()


def test_uniform_over_ids_seeds_and_steps() -> None:
    many = torch.arange(20_000)
    zeros = torch.zeros_like(many)
    over_ids = uniform(words(3), words(0), 0, IDS[:20_000])
    over_seeds = uniform(many, zeros, 0, IDS[:1])
    over_steps = uniform(zeros, many, 0, IDS[:1])
    for values in (over_ids, over_seeds, over_steps):
        assert float(values.min()) > 0 and float(values.max()) < 1
        assert abs(chi_square(values.flatten())) < 5
        assert abs(float(values.mean()) - 0.5) < 0.01


def test_neighbouring_numbers_are_not_correlated() -> None:
    values = uniform(words(3), words(0), 0, IDS[:20_001])[0]
    assert abs(float(torch.corrcoef(torch.stack([values[1:], values[:-1]]))[0, 1])) < 0.03


def test_exponential_law() -> None:
    values = exponential(words(1, 2, 3, 4), words(0, 1, 2, 3), 8, IDS[:10_000])
    assert torch.isfinite(values).all() and (values > 0).all()
    assert abs(float(values.mean()) - 1) < 0.03
    assert abs(float(values.var()) - 1) < 0.08
    assert abs(chi_square(torch.exp(-values).flatten())) < 5
