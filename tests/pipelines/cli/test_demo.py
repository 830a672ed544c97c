"""The demo as `make demo` runs it: into a relative folder, with every job's rows done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from pipelines.cli.demo import JOBS, read_results, run_demo


@pytest.mark.slow
def test_every_job_of_the_demo_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Ray, whose start and whose workers' imports are most of the demo's time."""
    monkeypatch.chdir(tmp_path)
    _demo("inline", capsys)


@pytest.mark.nightly
@pytest.mark.usefixtures("cluster")
def test_every_job_of_the_demo_is_done_by_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _demo("ray", capsys)


def _demo(executor: Literal["ray", "inline"], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo("out/", executor) == 0
    assert all(read_results(f"out/{job.name}") for job in JOBS)
    for job, truth in (("asr", "input_text"), ("audio_caption", "caption")):
        rows = read_results(f"out/{job}")
        assert [row["text"] for row in rows] == [row[truth] for row in rows]
        assert {row["finish_reason"] for row in rows} == {"stop"}
        assert all(row["model"].startswith("nano-") for row in rows)
    said = capsys.readouterr().out
    judged = next(line for line in said.splitlines() if line.startswith("word error rates"))
    assert len(re.findall(r"\d+\.\d%", judged)) == sum(job.truth is not None for job in JOBS)
