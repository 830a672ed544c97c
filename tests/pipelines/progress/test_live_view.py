"""The live view shows every stage, and leaves the terminal as it found it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from pipelines.executor.stage_monitor import StageState
from pipelines.progress.live_view import LiveView, ProgressSnapshot, format_duration, render_view
from pipelines.progress.terminal import Terminal

SNAPSHOT = ProgressSnapshot(
    rows=1200, done=300, errors=7, elapsed_s=40.0, working_s=20.0, rows_per_s=15.0,
    audio_per_s=90.0, audio_per_row_s=6.0, left_s=60.5,
    stages=(
        StageState("load", 420, 0, 1, 0, 0),
        StageState("generate", 320, 5, 2, 3, 1),
        StageState("write", 10, 0, 0, 0, 0),
    ),
    failed={"load": 7},
)  # fmt: skip


def drawn(moment: ProgressSnapshot) -> list[str]:
    console = Terminal(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as capture:
        console.print(render_view(moment))
    return capture.get().splitlines()


def test_every_stage_has_its_line() -> None:
    header, load, generate, write, whole = drawn(SNAPSHOT)
    assert header.split() == [
        "stage", "rows", "audio", "s/s", "queue", "in", "work", "actors", "errors",
    ]  # fmt: skip
    assert load.split() == ["load", "420", "126.0", "0", "1", "tasks", "7"]
    assert generate.split() == ["generate", "320", "96.0", "5", "2", "3", "(+1)", "0"]
    assert write.split() == ["write", "300", "90.0", "0", "0", "tasks", "0"]
    assert whole.endswith("300/1200 rows  7 errors  15.0 rows/s  90.0 s of audio/s  1 min 0 s left")


def test_before_the_stages_are_seen_it_says_so() -> None:
    first, whole = drawn(replace(SNAPSHOT, stages=(), left_s=None))
    assert first == "starting, 40.0 s"
    assert whole.endswith("time left unknown")


def test_what_it_is_at_is_named_while_it_starts() -> None:
    doing = "starting Ray, 3 of about 5 s"
    assert drawn(replace(SNAPSHOT, stages=(), doing=doing))[0] == doing
    assert drawn(replace(SNAPSHOT, doing=doing))[:2][0] == doing
    assert len(drawn(replace(SNAPSHOT, doing=doing))) == len(drawn(SNAPSHOT)) + 1


def test_the_view_is_gone_at_its_end_and_what_was_said_stays() -> None:
    file = io.StringIO()
    view = LiveView(lambda: SNAPSHOT, Terminal(file=file, force_terminal=True, width=100))
    view.say("a note of [red]3[/red] units")
    view.stop()
    written = file.getvalue()
    assert "a note of [red]3[/red] units" in written
    assert written.rstrip("\n").endswith("\x1b[2K")  # the last lines are wiped
    assert "\x1b[?25h" in written  # and the cursor is back


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")],
)
def test_spans(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
