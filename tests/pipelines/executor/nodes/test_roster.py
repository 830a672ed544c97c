"""Which nodes may work, on a Ray of one node; `tests/system/test_nodes.py` has several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import ray

from pipelines.executor.nodes.compare import Needs
from pipelines.executor.nodes.examine import where_of, working_nodes
from pipelines.executor.nodes.roster import Roster
from pipelines.planning.pool_sizing import Pool

TOLD: list[Iterable[str]] = []


@pytest.fixture
def roster(cluster: None, tmp_path: Path) -> Iterator[Roster]:
    """That knows no node yet."""
    del cluster
    (tmp_path / "out/_log").mkdir(parents=True)
    made = Roster(Needs(str(tmp_path / "out")), frozenset(), TOLD.append)
    with made.open():
        yield made
    assert not [*tmp_path.glob("out/_log/*")]


def one() -> int:
    return 1


def pool(cpus: float) -> Pool:
    return Pool("encode", 1, 1, cpus, 0.0, {})


def test_a_node_that_fits_is_given_work_once_it_was_looked_at(roster: Roster) -> None:
    [node] = working_nodes()
    roster.update()
    assert roster.fitting() == {node["NodeID"]}
    assert roster.resources() == node["Resources"]
    assert roster.placement() == {}
    assert roster.only_on(roster.fitting()) == {
        "label_selector": {"ray.io/node-id": f"in({node['NodeID']})"}
    }
    assert [facts["id"] for facts in roster.joined().nodes] == [node["NodeID"]]
    assert roster.joined().nodes == ()
    assert not roster.lacks_room_for([pool(0.5)])
    assert roster.lacks_room_for([pool(0.5), pool(10_000.0)])


def test_one_that_a_worker_finds_not_to_fit_is_given_no_more(roster: Roster) -> None:
    [node] = working_nodes()
    why = f"INPUT 'a' is not on node {where_of(node)} as it is here; put it there"
    roster.refused(why)
    assert roster.left_out == {node["NodeID"]: why}
    assert [*TOLD[-1]] == [node["NodeID"]]
    assert roster.fitting() == frozenset()
    assert roster.resources() == {}
    assert roster.joined().warnings == (f"{why}; this run gives that node no work",)
    assert roster.lacks_room_for([pool(0.5)])
    away = ray.remote(num_cpus=0)(one).options(**roster.placement()).remote()
    assert ray.wait([away], timeout=1)[0] == [], "it was done on the node that is left out"
    ray.cancel(away, force=True)


def test_a_node_that_was_there_at_the_start_stays(roster: Roster) -> None:
    [node] = working_nodes()
    first = Roster(roster.needs, frozenset({node["NodeID"]}), set)
    with first.open():
        first.refused(f"INPUT is not on node {where_of(node)}")
        assert first.left_out == {}
