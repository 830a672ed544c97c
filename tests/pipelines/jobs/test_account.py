from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig, RunFailed
from pipelines.executor.executor import Underway
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.process.process_executor import ProcessExecutor
from pipelines.jobs.account import Account
from pipelines.progress.progress import Progress
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.counts import Counts
from tests.pipelines.committed import make_output
from uniaudio2.checkpoint.folders import load_config, model_folder


class Dying(InlineExecutor):
    """One whose worker dies of whatever it is given."""

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Underway[Any]:
        raise RunFailed("its worker died")


def account(output: str) -> Account:
    job = JobConfig(task="text_only", input="in.jsonl", output=output, model="tiny")
    model = load_config(model_folder("tiny"))
    return Account(job, model, CommitLog(Storage(output)), Progress(Counts(), "lines"))


def test_a_report_is_made_where_workers_are_or_here(tmp_path: Path) -> None:
    out = make_output(str(tmp_path / "out"), "text_only", [{"id": "a", "text": "hi"}], texts=["hi"])
    process = ProcessExecutor()
    process.start()
    assert process._worker is not None
    process._worker.process.kill()
    process._worker.process.wait()
    for executor in (Dying(), process, InlineExecutor()):
        (tmp_path / "out/report.html").unlink(missing_ok=True)
        report = account(out).report(executor, is_as_it_was=False, has_begun=True)
        assert report is not None
        assert (tmp_path / "out/report.html").stat().st_size == report.size_bytes


def test_a_report_that_stands_is_not_made_again(tmp_path: Path) -> None:
    out = make_output(str(tmp_path / "out"), "text_only", [{"id": "a", "text": "hi"}], texts=["hi"])
    (tmp_path / "out/report.html").write_text("as it was")
    told = account(out)
    told.was_finished = True
    assert told.report(Dying(), is_as_it_was=True, has_begun=False) is not None
    assert (tmp_path / "out/report.html").read_text() == "as it was"
    told.report(Dying(), is_as_it_was=False, has_begun=False)
    assert (tmp_path / "out/report.html").read_text() != "as it was"


def test_what_cannot_be_reported_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account(str(tmp_path / "none")).report(Dying(), False, has_begun=True) is None
    assert "no report: UsageError" in capsys.readouterr().out
