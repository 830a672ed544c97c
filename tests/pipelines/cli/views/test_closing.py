"""The closing lines name speed, limit, places and the next command."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.cli.views.closing import closing_facts, closing_lines, is_small
from pipelines.jobs.result import RunResult
from pipelines.report import Report
from pipelines.report.bottleneck import Bottleneck
from pipelines.run_state.counts import Counts


def result(errors: int, output: str = "out", tried: int | None = None, rows: int = 30) -> RunResult:
    counts = Counts(
        rows=rows, units=2, units_done=2, ok=rows - errors, errors=errors, input_s=7300.0,
        kinds=Counter(missing_file=errors) if errors else Counter(),
    )  # fmt: skip
    limit = Bottleneck("generate", "generate is the bottleneck: more.", "generate.min_size=2")
    report = Report(f"{output}/report.html", limit, "3 rows/s", 1000)
    return RunResult(output, counts, 75.0, 3 if errors else 0, report, tried, 1)


def test_a_run_without_errors() -> None:
    assert closing_lines(result(0)).splitlines() == [
        "done:    in 1 min 15 s: 30 rows, 0 errors, 2 h 1 min of audio read",
        "speed:   3 rows/s",
        "limit:   generate is the bottleneck: more.",
        "results: out/data",
        "report:  out/report.html",
    ]


def test_a_few_rows_say_how_long_one_waited_and_nothing_of_limits() -> None:
    few = result(0, rows=1)
    assert closing_lines(few, waited_s=80.0).splitlines() == [
        "done:    in 1 min 20 s: 1 row, 0 errors, 2 h 1 min of audio read",
        "results: out/data",
        "report:  out/report.html",
        "next:    uniaudio2 show out [ID]",
    ]
    assert is_small(few)
    assert not is_small(result(0))


def test_rows_failed() -> None:
    lines = closing_lines(result(4, "my out", tried=5)).splitlines()
    assert lines[0] == "retried: 5 rows, 1 succeed now, 4 do not"
    assert lines[-2] == "errors:  my out/errors (4 missing_file)"
    assert lines[-1] == "next:    fix their cause, then uniaudio2 retry 'my out'"


@pytest.mark.parametrize(("errors", "command"), [(0, None), (2, "uniaudio2 retry out")])
def test_facts(errors: int, command: str | None) -> None:
    facts = closing_facts(result(errors))
    assert (facts["next"], facts["report"]) == (command, "out/report.html")
    assert facts["bottleneck"] == {"stage": "generate", "setting": "generate.min_size=2"}
