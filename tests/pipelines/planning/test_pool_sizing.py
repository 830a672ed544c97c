"""Pools are made to fit what exists, or refused with the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.planning.pool_sizing import fit_pools


def job(task: str = "speech_s2s", **settings: object) -> JobConfig:
    return JobConfig(task=task, input="i", output="o", **settings)


@given(
    cpus=st.integers(1, 256),
    gpus=st.integers(0, 16),
    task=st.sampled_from(["tokenize", "asr", "tts", "reconstruct", "speech_s2s"]),
)
def test_open_pools_always_fit_with_room_to_read(cpus: int, gpus: int, task: str) -> None:
    allocation = fit_pools(job(task), {"CPU": cpus, "GPU": gpus})
    held = sum(pool.min_size * pool.num_cpus for pool in allocation.pools)
    assert held + allocation.task_cpus <= cpus
    assert allocation.task_cpus > 0
    assert sum(pool.min_size * pool.num_gpus for pool in allocation.pools) <= gpus
    for pool in allocation.pools:
        assert pool.min_size <= pool.max_size
        assert pool.max_size * pool.num_gpus <= max(gpus, 1)
        assert (pool.num_gpus > 0) == (gpus > 0)


def test_a_laptop_with_two_cores_shares_them_and_says_so() -> None:
    allocation = fit_pools(job(), {"CPU": 2})
    assert [pool.num_cpus for pool in allocation.pools] == [0.5, 0.5, 0.5]
    assert [pool.threads for pool in allocation.pools] == [1, 1, 1]
    assert "2 CPUs for 3 pools" in allocation.notes[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encode": {"num_gpus": 1}}, "the pools need 1 GPU (encode 1x1), the cluster has 0"),
        ({"generate": {"num_cpus": 1, "min_size": 2}}, "the pools need 2.27 CPU"),
        ({"decode": {"resources": {"tpu": 1}}}, "resources.tpu"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_numbers(
    settings: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        fit_pools(job(**settings), {"CPU": 2, "GPU": 0})
    assert words in str(caught.value)


def test_a_growing_cluster_is_waited_for() -> None:
    notes = fit_pools(job(encode={"num_gpus": 1}), {"CPU": 8}, elastic=True).notes
    assert "waiting for it to grow" in notes[0]


@pytest.mark.parametrize("task", ["tokenize", "tts", "speech_s2s"])
@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 64])
def test_an_actor_and_a_task_beside_it_fit_on_one_node(cpus: int, count: int, task: str) -> None:
    nodes = [{"CPU": float(cpus)}] * count
    found = fit_pools(job(task), {"CPU": float(cpus * count)}, elastic=True, nodes=nodes)
    for pool in found.pools:
        assert pool.num_cpus + 2 * found.task_cpus <= cpus + 1e-9
        assert pool.min_size <= pool.max_size <= count * max(cpus // pool.num_cpus, 1)


def test_an_actor_with_a_gpu_fits_on_a_node_that_has_one() -> None:
    nodes = [{"CPU": 64.0}, {"CPU": 4.0, "GPU": 1.0}]
    found = fit_pools(job("tokenize"), {"CPU": 68.0, "GPU": 1.0}, elastic=True, nodes=nodes)
    assert (found.pools[0].num_cpus, found.pools[0].max_size) == (3.0, 1)


def test_one_gpu_is_shared_and_four_are_not() -> None:
    assert [p.num_gpus for p in fit_pools(job(), {"CPU": 8, "GPU": 1}).pools] == [0.33] * 3
    assert [p.num_gpus for p in fit_pools(job(), {"CPU": 8, "GPU": 4}).pools] == [1.0] * 3
