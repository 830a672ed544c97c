"""What a run says, line by line, for people and for machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.progress.progress import Progress
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.counts import Counts
from tests.pipelines.report.test_stages import commit


def unit(number: int) -> Commit:
    return commit(number, ("load", "a", number, 1), ("write", "a", number + 1.0, 0.5))


def said(style: Any, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with Progress(Counts(rows=8, units=2), style) as progress:
        progress.begin("tts: 8 rows in 2 units")
        progress.committed(unit(0))
        progress.say("note", "a note")
        progress.committed(unit(1))
    return capsys.readouterr().out.splitlines()


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    start, first, note, last = said("lines", capsys)
    assert (start, note) == ("tts: 8 rows in 2 units", "a note")
    assert first.startswith("4/8 rows  0 errors  ")
    assert last.startswith("8/8 rows  0 errors  ")
    assert last.endswith("0.0 s left")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    events = [json.loads(line) for line in said("json", capsys)]
    assert [event["event"] for event in events] == ["start", "progress", "note", "progress"]
    assert (events[-1]["done"], events[-1]["rows"], events[-1]["left_s"]) == (8, 8, 0.0)
    assert events[-1]["stages"] == []  # no stream runs here


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("quiet", capsys) == []


def test_live_keeps_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    out = "\n".join(said("live", capsys))
    assert "tts: 8 rows in 2 units" in out
    assert "a note" in out


def test_what_an_earlier_run_did_is_no_speed_of_this_one() -> None:
    progress = Progress(Counts(rows=8, units=2), "quiet")
    progress.counts.add(unit(0))
    progress.begin("again")
    assert progress.snapshot().rows_per_s == 0
    progress.committed(unit(1))
    moment = progress.snapshot()
    assert (moment.done, moment.left_s) == (8, 0.0)
    assert moment.audio_per_row_s == pytest.approx(2.0 / 4)
