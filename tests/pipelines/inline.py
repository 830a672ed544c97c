"""The real stages of a run one after the other in this process: whole runs without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from actors.guard import Guard
from actors.times import read_times
from actors.unit import UnitSpec
from pipelines import run
from pipelines.graph import Stages
from pipelines.resources import Allotment

RESOURCES = {"CPU": 2.0}


def stream_inline(
    units: list[UnitSpec], stages: Stages, allotment: Allotment, alone: bool = False
) -> Iterator[dict[str, Any]]:
    """What `stream_units` yields, in the order of the units."""
    made = {pool.name: stages.pools[pool.name] for pool in allotment.pools}
    pools = {name: kind(**arguments) for name, (kind, arguments) in made.items()}
    for unit in units:
        table = unit.to_table()
        for name, stage in {"load": stages.load, **pools, "write": stages.write}.items():
            table = Guard(name, stages.timeout_s).call(table, stage)
        if "fault" in table.column_names:
            yield json.loads(table["fault"][0].as_py())
        else:
            yield {**json.loads(table["receipt"][0].as_py()), "stages": read_times(table)}


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test need no Ray."""
    monkeypatch.setattr(run, "ray", SimpleNamespace(cluster_resources=lambda: RESOURCES))
    monkeypatch.setattr(run, "start_ray", lambda *_: None)
    monkeypatch.setattr(run, "stream_units", stream_inline)
