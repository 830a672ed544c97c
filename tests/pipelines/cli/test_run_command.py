"""``uniaudio2 plan`` as a user meets it, held against the run that it tells of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.commands import main
from pipelines.cli.demo import EXAMPLES
from pipelines.config.job import JobConfig
from pipelines.forecast.probe import count_tokens
from pipelines.jobs.run import run_job


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages take one thread: several wait for one another where tests run side by side."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Twelve rows of bundled speech, and one that is not there."""
    lines = (EXAMPLES / "speech.jsonl").read_text().splitlines()[:4]
    rows = [json.loads(line) for line in lines * 3]
    for number, row in enumerate(rows):
        row |= {"id": f"r{number}", "audio": str(EXAMPLES / row["audio"])}
    rows.append({"id": "lost", "audio": "/nowhere/x.wav", "text": "x"})
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[Any, str, str]:
    monkeypatch.setattr(sys, "argv", ["uniaudio2", *words])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_a_plan_tells_what_the_run_then_does(
    recordings: Path,
    scratch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ("plan", "tokenize", str(recordings), str(out), "--executor", "inline")
    code, said, _ = told(monkeypatch, capsys, *words, "--price-cpu-hour", "2", "--json")
    assert code == 0
    assert not out.exists()
    assert list(scratch.iterdir()) == []
    facts = json.loads(said)
    assert {*facts} == {
        "event", "task", "input", "output", "rows", "units", "scaled_by", "probe", "executor",
        "workers", "resources", "pools", "figures", "stage_spans_s", "bottleneck", "settings",
        "notes",
    }  # fmt: skip
    assert facts["rows"] == {"manifest": 13, "done": 0, "left": 13}
    assert facts["probe"] == {"rows": 13, "units": 6, "failed_units": 0}
    figures = {name: one["value"] for name, one in facts["figures"].items()}
    for one in facts["figures"].values():
        assert one["low"] <= one["value"] <= one["high"]
    assert facts["bottleneck"] in ("load", "encode", "write")
    stages = {name.partition(".")[0] for name in figures if "." in name}
    assert stages == {*facts["stage_spans_s"]} == {"load", "encode", "write"}
    assert figures["wall_s"] == pytest.approx(
        figures["start_s"] + sum(facts["stage_spans_s"].values())
    )
    assert figures["price"] == pytest.approx(2 * figures["cpu_hours"])

    # all rows were tried, so that counts are those of the run
    job = JobConfig(task="tokenize", input=str(recordings), output=str(out), executor="inline")
    counts = run_job(job).counts
    assert (figures["ok"], figures["errors"]) == (counts.ok, counts.errors) == (12, 1)
    assert figures["input_hours"] == pytest.approx(counts.input_s / 3600)
    assert figures["tokens"] == count_tokens(sorted((out / "data").glob("*.parquet"))) > 0

    # what is done is taken off
    with recordings.open("a") as file:
        row = {"id": "new", "audio": str(EXAMPLES / "audio/speech-1.wav"), "text": "yes"}
        file.write(json.dumps(row) + "\n")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, said, _ = told(monkeypatch, capsys, *words)
    assert code == 0
    assert said.startswith("rows:    1 row in 1 unit (13 of 14 are done)\n")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    code, _, said = told(
        monkeypatch, capsys, *words[:1], "reconstruct", *words[2:4], "--executor", "inline"
    )
    assert code == 2
    assert "holds another job" in said


def test_nothing_left_and_a_dry_run(
    recordings: Path,
    scratch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "out")
    job = JobConfig(
        task="tokenize", input=str(recordings), output=out, limit=2, executor="inline",
        until="encode",
    )  # fmt: skip
    run_job(job)
    words = ("run", "tokenize", str(recordings), out, "--limit", "2", "--until", "encode")
    code, said, _ = told(monkeypatch, capsys, *words, "--dry-run")
    assert code == 0
    assert said.splitlines()[-1] == "nothing is left to do"
    code, _, said = told(monkeypatch, capsys, *words, "--dry-run", "--fresh")
    assert code == 2
    assert "leave out --detach and --fresh" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "address=ray://head:10001"], "give the cluster's --cpus and --gpus"),
        (["--cpus", "2", "--set", "encode.num_cpus=50"], "the pools need"),
        (["--probe-rows", "0"], "--probe-rows"),
    ],
)
def test_wrong_use(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    words: str,
) -> None:
    out = tmp_path / "out"
    code, _, said = told(monkeypatch, capsys, "plan", "tokenize", str(recordings), str(out), *more)
    assert code == 2
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()


def test_a_plan_that_is_stopped_leaves_nothing(recordings: Path, tmp_path: Path) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", "from pipelines.cli.commands import main; main()", "plan",
         "tokenize", str(recordings), str(out), "--executor", "processes"],
        env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 60
        while not list(scratch.glob("uniaudio2-plan-*")) and time.monotonic() < until:
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in said
    assert list(scratch.iterdir()) == []
    assert not out.exists()
