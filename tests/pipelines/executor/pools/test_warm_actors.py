"""Workers that outlive their run: taken by the next, by one at a time, and ended."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray

from actors.stages.fault_boundary import FaultBoundary
from pipelines import JobConfig, UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.errors import RunFailed
from pipelines.executor.pools import warm_actors
from pipelines.executor.pools.warm_claim import WarmClaim
from pipelines.executor.ray_executor import RayExecutor
from pipelines.planning.pool_sizing import Pool
from tests.pipelines.faulty import LightDecoder, light_stages

_WAIT_S = 60.0


def job(output: Path, **settings: Any) -> JobConfig:
    source = str(EXAMPLES / "recordings.jsonl")
    given = {"task": "reconstruct", "input": source, "model": "tiny", "unit_rows": 2}
    return JobConfig(output=str(output), **given | settings)


def run(output: Path, keep_s: float | None = 60.0, **faults: str) -> list[dict[str, Any]]:
    """Rows of a run with light stages on the shared Ray, as if that were a cluster elsewhere."""
    make = functools.partial(light_stages, **faults)
    executor = RayExecutor("auto", keep_warm_s=keep_s)
    assert run_job(job(output), make=make, executor=executor).exit_code == 0
    rows = [{**row, "audio_path": None} for row in read_results(str(output))]
    return sorted(rows, key=lambda row: str(row["id"]))


def warm() -> dict[str, dict[str, Any]]:
    return {facts["stage"]: facts for _, facts in warm_actors.warm_actors()}


def until_there_are(count: int) -> None:
    end = time.monotonic() + _WAIT_S
    while len(warm_actors.named_actors()) != count:
        assert time.monotonic() < end, warm_actors.named_actors()
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def none_stays(cluster: None) -> Any:
    yield
    end = time.monotonic() + _WAIT_S
    while warm_actors.named_actors():  # a run that failed may leave one that it was starting
        warm_actors.end()
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_next_run_has_the_workers_of_the_one_before(tmp_path: Path) -> None:
    first = run(tmp_path / "1")
    left = warm()
    assert {name: (one["runs"], one["owner"]) for name, one in left.items()} == {
        "encode": (1, warm_actors.owner()), "decode": (1, warm_actors.owner()),
    }  # fmt: skip
    assert all(0 < one["ends_in_s"] <= 60 for one in left.values())
    assert run(tmp_path / "2") == first
    again = warm()
    assert {one["name"] for one in again.values()} == {one["name"] for one in left.values()}
    assert {one["runs"] for one in again.values()} == {2}
    # a run that asks for others, and finds no room, ends those that are idle
    run(tmp_path / "3", keep_s=None)
    assert not warm_actors.named_actors()


def test_a_worker_that_dies_costs_nothing_and_is_made_anew(tmp_path: Path) -> None:
    once = tmp_path / "killed"
    rows = run(tmp_path / "1", kill_once=str(once))
    assert once.exists()
    assert len(rows) == 10
    assert set(warm()) == {"encode", "decode"}


def asked(run_id: str, keep_s: float = 60.0) -> Any:
    pool = Pool("decode", 1, 1, 0.1, 0.0, {})
    return warm_actors.warm_asks([pool], {"decode": (LightDecoder, {})}, run_id, keep_s, 2)


def claimed(run_id: str, keep_s: float = 60.0) -> WarmClaim:
    return WarmClaim(asked(run_id, keep_s)["decode"], LightDecoder, {}, None)


def test_one_run_has_it_at_a_time_and_it_ends_when_none_comes() -> None:
    own = claimed("one")
    table = pa.table({"id": ["a"]})
    boundary = FaultBoundary("decode", 60.0)
    assert ray.get(own.actor.call.remote(table, boundary)).num_rows == 1
    assert warm()["decode"]["ends_in_s"] is None
    assert ray.get(own.actor.claim.remote("two/x", 60.0, None)) is None
    assert warm_actors.end() == 0  # it is at work
    warm_actors.release(asked("one"))
    assert ray.get(own.actor.claim.remote("two/x", 0.2, None)) == ""
    warm_actors.release(asked("two"))
    until_there_are(0)


def test_a_stage_is_equal_by_its_code_its_arguments_and_its_model(tmp_path: Path) -> None:
    def key(arguments: dict[str, Any], cpus: float = 1.0) -> str:
        stages = {"decode": (LightDecoder, arguments)}
        pool = Pool("decode", 1, 1, cpus, 0.0, {})
        return warm_actors.warm_asks([pool], stages, "r", 1.0, 2)["decode"].key

    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{}")
    model = {"model": str(tmp_path / "m"), "seed": 1}
    assert key(model) == key(dict(reversed(model.items())))
    others = [key(model | {"seed": 2}), key(model, 2.0)]
    before = key(model)
    (tmp_path / "m/config.json").write_text('{"a": 1}')
    assert len({before, key(model), *others}) == 4


def test_a_ray_of_the_run_itself_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --address of a started cluster"):
        run_job(job(tmp_path, keep_warm_s=60.0))


class Unbuilt:
    """A stage that cannot be built."""

    def __init__(self) -> None:
        raise ValueError("no such model")

    def __call__(self, table: pa.Table) -> pa.Table:
        raise NotImplementedError


def test_a_stage_that_cannot_be_built_is_told(tmp_path: Path) -> None:
    def unbuilt(*given: Any) -> Any:
        stages = light_stages(*given)
        return replace(stages, pools={**stages.pools, "decode": (Unbuilt, {})})

    with pytest.raises(RunFailed, match="decode: ValueError: no such model"):
        run_job(job(tmp_path), make=unbuilt, executor=RayExecutor("auto", keep_warm_s=60.0))
