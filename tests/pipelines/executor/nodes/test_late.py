"""What a worker does on a node that joined while a run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.executor.nodes.compare import Needs
from pipelines.executor.nodes.look import Look
from pipelines.executor.nodes.roster import Roster


@pytest.mark.usefixtures("cluster")
def test_a_node_that_is_not_known_is_compared_with_the_driver(tmp_path: Path) -> None:
    (tmp_path / "out/_log").mkdir(parents=True)
    (tmp_path / "a.wav").write_bytes(b"sound")
    roster = Roster(Needs(str(tmp_path / "out"), (str(tmp_path / "a.wav"),)), frozenset(), set)
    with roster.open():
        check = roster.check()
        assert check is not None
        assert check.fault_here() == ""
        lacks = check.here._replace(sizes={})
        assert check.compare("n", tuple(lacks)).startswith(f"INPUT '{tmp_path}/a.wav' is not on")
        other = Look(*check.here)._replace(code="x")
        assert check.compare("n", tuple(other)).startswith("node n has another UniAudio2 Batch")
    assert not [*tmp_path.glob("out/_log/*")]
