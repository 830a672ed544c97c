"""The board between executor and view: what is shown is of the stream that runs."""

from __future__ import annotations

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
