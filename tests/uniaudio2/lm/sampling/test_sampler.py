from __future__ import annotations

import pytest
import torch

from uniaudio2.lm.sampling.sampler import apply_cfg, sample_ids, top_k_probabilities
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import without_sync

LOGITS = torch.tensor([[2.0, 1.0, 0.5, 1.0, -1.0, 0.0]])


def probabilities(
    logits: torch.Tensor, sampling: Sampling, allowed: torch.Tensor | None = None
) -> torch.Tensor:
    """Of every id, whichever way `top_k_probabilities` gives them."""
    chances, ids = top_k_probabilities(logits.clone(), sampling, allowed)
    if ids is None:
        return chances
    return torch.zeros_like(logits).scatter(1, ids, chances)


def test_ties_with_the_kth_are_kept() -> None:
    got = probabilities(LOGITS, Sampling(temperature=1, top_k=2))
    assert (got > 0).tolist() == [[True, True, False, True, False, False]]
    torch.testing.assert_close(got.sum(), torch.tensor(1.0))


def test_temperature_divides_the_logits() -> None:
    got = probabilities(LOGITS, Sampling(temperature=0.5, top_k=None))
    torch.testing.assert_close(got, (LOGITS * 2).softmax(-1))


def test_top_k_counts_among_the_allowed() -> None:
    allowed = torch.tensor([False, True, True, False, True, False])
    got = probabilities(LOGITS, Sampling(temperature=1, top_k=2), allowed)
    assert (got[0] > 0).tolist() == [False, True, True, False, False, False]
    got = probabilities(LOGITS, Sampling(temperature=1, top_k=5), allowed)
    assert (got[0] > 0).tolist() == allowed.tolist()
    assert torch.isfinite(got).all()


def test_top_k_beyond_what_is_there_keeps_all() -> None:
    got = probabilities(LOGITS, Sampling(temperature=1, top_k=7))
    torch.testing.assert_close(got, LOGITS.softmax(-1))


def test_a_part_of_the_vocabulary_draws_as_the_whole() -> None:
    seeds, steps = torch.arange(300), torch.full((300,), 5)
    logits = torch.randn(300, 40, generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(40, dtype=torch.bool)
    inside[10:30] = True
    for sampling in (Sampling(top_k=6), Sampling(top_k=None), Sampling(greedy=True)):
        whole = sample_ids(logits, sampling, seeds, steps, 3, inside)
        part = sample_ids(logits[:, 10:30], sampling, seeds, steps, 3, first_id=10)
        assert torch.equal(whole, part)
        assert 10 <= int(part.min()) <= int(part.max()) < 30


def test_ties_change_the_way_but_not_the_draws() -> None:
    """One request with ties with its k-th sends all of them the long way."""
    seeds, steps = torch.arange(400), torch.zeros(400, dtype=torch.int64)
    logits = torch.randn(1, 30, generator=torch.Generator().manual_seed(1)).expand(400, -1)
    sampling = Sampling(temperature=0.7, top_k=5)
    alone = sample_ids(logits, sampling, seeds, steps, 0)
    tied = torch.cat([logits, torch.zeros(1, 30)])
    one_more = torch.tensor([0])
    beside = sample_ids(
        tied, sampling, torch.cat([seeds, one_more]), torch.cat([steps, one_more]), 0
    )
    assert torch.equal(alone, beside[:-1])
    assert (
        top_k_probabilities(tied, sampling)[1] is None
        and top_k_probabilities(logits, sampling)[1] is not None
    )


@pytest.mark.parametrize("ties", [0, 3, 60])
def test_without_waiting_the_same_ids_are_likely(ties: int) -> None:
    logits = torch.randn(5, 200, generator=torch.Generator().manual_seed(ties))
    logits[2, 20 : 20 + ties] = logits[2].topk(9).values[-1]
    sampling = Sampling(temperature=0.7, top_k=9)
    want = probabilities(logits, sampling)
    with without_sync():
        torch.testing.assert_close(probabilities(logits, sampling), want)
        assert top_k_probabilities(logits, sampling)[1] is not None, "not all ids are looked at"


def test_guidance() -> None:
    both = torch.tensor(
        [[1.0, 2.0], [0.0, 4.0], [5.0, 5.0], [5.0, 1.0]]
    )  # conditional and unconditional
    assert apply_cfg(both, 1.0).tolist() == both[0::2].tolist()
    assert apply_cfg(both, 3.0).tolist() == [[3.0, -2.0], [5.0, 13.0]]


def test_greedy_takes_the_largest_allowed_and_draws_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uniaudio2.lm.sampling.sampler.exponential", None)
    one = torch.zeros(1, dtype=torch.int64)
    assert sample_ids(LOGITS, Sampling(greedy=True), one, one, 0).tolist() == [0]
    allowed = torch.tensor([False, True, True, True, True, True])
    assert sample_ids(LOGITS.clone(), Sampling(greedy=True), one, one, 0, allowed).tolist() == [1]


def test_draws_follow_the_probabilities() -> None:
    draws = 20_000
    seeds = torch.arange(draws)
    sampling = Sampling(temperature=0.8, top_k=4)
    ids = sample_ids(LOGITS.expand(draws, -1), sampling, seeds, torch.zeros_like(seeds), 2)
    want = probabilities(LOGITS, sampling)[0]
    got = torch.bincount(ids, minlength=6) / draws
    assert got[want == 0].eq(0).all()
    error = (want * (1 - want) / draws).sqrt().clamp(min=1e-9)
    assert float(((got - want) / error).abs().max()) < 5


def test_the_global_generator_is_not_touched() -> None:
    before = torch.random.get_rng_state()
    one = torch.ones(1, dtype=torch.int64)
    sample_ids(LOGITS, Sampling(top_k=None), one, one, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
