"""Ray's private parts, each against the Ray that is installed: a failure names what moved.

That the real scheduler shows all stages of a run is tested with the command line, in
`test_commands.py`.
"""

from __future__ import annotations

import ast
import math
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray
import ray.data
from ray.job_config import JobConfig

from actors.batch.unit import UnitSpec
from pipelines.executor import ray_internals
from pipelines.executor.ray_internals import (
    StageWatch,
    actors_of,
    add_backpressure,
    free_of_cpus,
    is_splitter,
    published_job_server,
    set_search_path,
    stage_operators,
    stage_state,
    waiting_for_first_stage,
)
from pipelines.executor.ray_settings import own_data_context
from pipelines.executor.stage_monitor import BOARD, StageState
from pipelines.executor.unit_blocks import UnitsAhead, unit_source

SEEN: list[list[StageState]] = []


class Passing:
    """An actor's stage that takes its time."""

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(0.02)
        return table


def passing(table: pa.Table) -> pa.Table:
    time.sleep(0.01)
    return table


@pytest.mark.usefixtures("cluster")
def test_cpus_are_counted_as_ray_does() -> None:
    assert math.floor(ray_internals.counted_cpus()) == ray._private.utils.get_num_cpus()


def test_a_running_stream_is_seen_with_its_operators_and_actors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: list[list[StageState]] = []
    handles: list[int] = []
    splitters: list[list[bool]] = []
    faults: list[BaseException] = []

    def look(executor: Any) -> None:
        try:
            found = stage_operators(executor)
            leave_all_out(executor)
            states.append([stage_state(str(op.name), op, state) for op, state in found])
            handles.append(sum(len(actors_of(op)) for op, _ in found))
            splitters.append([is_splitter(op) for op in executor._topology])
        except BaseException as fault:
            faults.append(fault)

    def leave_all_out(executor: Any) -> None:
        before = executor._cluster_autoscaler.get_total_resources().cpu
        ray_internals.leave_out(node["NodeID"] for node in ray.nodes())
        counted.append((before, executor._cluster_autoscaler.get_total_resources().cpu))
        ray_internals.leave_out(())

    counted: list[tuple[float, float]] = []
    monkeypatch.setattr(ray_internals, "_look", look)
    monkeypatch.setattr(BOARD, "is_due", lambda: True)
    units = [UnitSpec(n, "", n, n + 1, "/x", f"f{n}") for n in range(12)]
    with own_data_context(60):
        stream = unit_source(units).map_batches(passing, batch_size=None, batch_format="pyarrow")
        stream = stream.map_batches(
            Passing, batch_size=None, batch_format="pyarrow", num_cpus=0.1,
            compute=ray.data.ActorPoolStrategy(size=1),
        )  # fmt: skip
        count = sum(1 for _ in stream.iter_batches(batch_size=None, batch_format="pyarrow"))
    assert count == len(units)
    assert faults == []
    assert {len(seen) for seen in states} == {2}, "the stages' operators are not the last two"
    assert states[-1][-1].rows == len(units), "rows_task_outputs_generated"
    assert max(seen[0].running for seen in states) >= 1, "num_active_tasks"
    assert max(seen[0].queue for seen in states) >= 1, "total_enqueued_input_blocks"
    assert max(seen[1].ready for seen in states) == 1, "get_actor_info"
    assert max(handles) == 1, "_actor_pool._running_actors, _pending_actors"
    assert max(before for before, _ in counted) > 0, "get_total_resources"
    assert {after for _, after in counted} == {0.0}, "get_reserved_resources, by nodes' ids"
    assert splitters[-1] == [False, True, False, False], "StreamingRepartition is not second"


def test_tasks_of_a_dataset_can_be_freed_of_cpus() -> None:
    stream = ray.data.from_arrow(pa.table({"a": [1, 2]})).repartition(target_num_rows_per_block=1)
    free_of_cpus(stream)
    assert stream._logical_plan.dag.ray_remote_args["num_cpus"] == 0


def test_a_policy_of_ours_is_asked() -> None:
    with own_data_context(60) as context:
        add_backpressure(UnitsAhead)
        key = ray_internals.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY
        assert UnitsAhead in context.get_config(key)
    state = SimpleNamespace(total_enqueued_input_blocks=lambda: 7)
    policy = UnitsAhead(None, {"input": None, "splitter": None, "load": state}, None)
    assert waiting_for_first_stage(policy) == 7


def test_workers_of_a_job_can_be_told_where_to_search() -> None:
    config = JobConfig()
    assert hasattr(config, "_py_driver_sys_path"), "the driver's search path has another name"
    assert hasattr(config, "_runtime_env_has_working_dir"), "what DriversPath overrides is gone"
    set_search_path(config, ["/first", "/second"])
    assert config._py_driver_sys_path == ["/second", "/first"]


TOKEN = """
import os, ray
from pipelines.executor.ray_internals import asks_for_token, read_token
before = asks_for_token()
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
read_token()
print(before, asks_for_token())
"""


def test_the_token_can_be_read_anew() -> None:
    """In a process of its own: a Ray that runs would no longer know its own token."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    ran = subprocess.run(
        [sys.executable, "-c", TOKEN], capture_output=True, text=True, check=True,
        env={**env, "RAY_AUTH_MODE": "disabled"},
    )  # fmt: skip
    assert ran.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("shown", [SimpleNamespace(), SimpleNamespace(_topology={})])
def test_what_cannot_be_seen_is_not_shown_and_stops_no_run(shown: Any) -> None:
    BOARD.expect(("load",))
    StageWatch().on_execution_step(shown)
    assert BOARD.states() == ()
    BOARD.expect(())


def private_names(source: str) -> set[str]:
    """Names without promise that code imports from Ray, or reaches from ``ray`` by dots."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
    return {name for name in found if re.match(r"ray\.(\w+\.)*_(?!_)", name)}


def test_no_other_module_knows_a_private_name_of_ray() -> None:
    home = Path(ray_internals.__file__)
    assert private_names(home.read_text())
    packages = [
        home.parents[2] / name for name in ("uniaudio2", "actors", "pipelines", "benchmarks")
    ]
    known = {
        path.name: names
        for package in packages
        for path in package.rglob("*.py")
        if path != home and (names := private_names(path.read_text()))
    }
    assert known == {}


@pytest.mark.usefixtures("cluster")
def test_a_cluster_names_its_job_server_also_where_none_listens() -> None:
    node = ray._private.worker._global_node  # type: ignore[attr-defined]
    named = published_job_server(node.gcs_address) or ""
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", named)
    with (
        pytest.raises(OSError),
        socket.create_connection(("127.0.0.1", int(named.rpartition(":")[2])), 5),
    ):
        pass


def test_what_rays_servers_say_of_errors_is_muted(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"pid": "raylet", "is_err": True, "lines": ["gone"], "ip": "", "job": None}
    with ray_internals.errors_muted():
        ray._private.worker.print_to_stdstream(told, ignore_prefix=False)
    assert capsys.readouterr().err == ""
    ray._private.worker.print_to_stdstream({**told, "lines": ["back"]}, ignore_prefix=False)
    assert "back" in capsys.readouterr().err
