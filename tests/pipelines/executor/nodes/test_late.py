"""What is done about nodes that join while a run goes on, as far as it needs no second node."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.executor.nodes.compare import Needs
from pipelines.executor.nodes.late import Roster
from pipelines.executor.nodes.look import Look


@pytest.mark.usefixtures("cluster")
def test_a_node_that_is_not_known_is_compared_with_the_driver(tmp_path: Path) -> None:
    (tmp_path / "out/_log").mkdir(parents=True)
    (tmp_path / "a.wav").write_bytes(b"sound")
    roster = Roster(Needs(str(tmp_path / "out"), (str(tmp_path / "a.wav"),)), frozenset())
    with roster.open():
        check = roster.check()
        assert check is not None
        assert check.fault_here() == ""
        lacks = check.here._replace(sizes={})
        assert check.compare("n", tuple(lacks)).startswith(f"INPUT '{tmp_path}/a.wav' is not on")
        other = Look(*check.here)._replace(code="x")
        assert check.compare("n", tuple(other)).startswith("node n has another UniAudio2 Batch")
    assert not [*tmp_path.glob("out/_log/*")]
