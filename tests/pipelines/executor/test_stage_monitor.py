"""The board between executor and view: what is shown is of the stream that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.executor.stage_monitor import StageBoard, StageState


def test_states_are_those_of_the_stream_that_runs() -> None:
    board = StageBoard()
    board.expect(("load",))
    assert board.states() == ()
    board.show((StageState("load", 8, 0, 1, 0, 0),))
    assert board.states() == (StageState("load", 8, 0, 1, 0, 0),)
    board.expect(("load", "write"))
    assert (board.names, board.states()) == (("load", "write"), ())


def test_it_is_looked_at_a_few_times_a_second() -> None:
    board = StageBoard()
    board.expect(("load",))
    assert [board.is_due(), board.is_due()] == [True, False]
    board.expect(("load",))
    assert board.is_due()  # another stream begins


def test_what_is_being_done_is_told_with_how_long_it_took_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("pipelines.executor.stage_monitor._SHORT_S", -1.0)
    board = StageBoard()
    assert board.being_done() == ""
    board.doing("starting Ray")
    assert board.being_done() == "starting Ray, 0 s"
    board.doing("loading the model")
    board.doing("starting Ray")
    assert board.being_done() == "starting Ray, 0 of about 0 s"
    board.show((StageState("load", 0, 0, 0, 0, 0), StageState("encode", 0, 0, 0, 0, 1)))
    assert board.being_done()
    board.show((StageState("load", 0, 0, 0, 0, 0), StageState("encode", 0, 0, 0, 1, 0)))
    assert board.being_done() == ""
