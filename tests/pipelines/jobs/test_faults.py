"""Workers and drivers that die: nothing is lost, nothing is done twice, one row is given up."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from pipelines import JobConfig, RunFailed, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.executor import ray_internals
from pipelines.run_state.status import read_status
from tests.pipelines.faulty import faulty_stages, light_stages, never_encode
from tests.pipelines.jobs.test_run import read_errors

CLI = [sys.executable, "-c", "from pipelines.cli.commands import main; main()"]


def job(tmp_path: Path, source: str = "speech.jsonl", **settings: object) -> JobConfig:
    """Recordings to be reconstructed, two rows a unit."""
    return JobConfig(
        task="reconstruct",
        input=str(EXAMPLES / source),
        output=str(tmp_path),
        model="tiny",
        unit_rows=2,
        **settings,
    )


@pytest.mark.usefixtures("cluster")
def test_only_the_poison_rows_are_given_up(tmp_path: Path) -> None:
    faults = {"kill": "speech-2", "fail": "speech-4", "hang": "speech-6"}
    result = run_job(
        job(tmp_path, "recordings.jsonl", max_attempts=1, stage_timeout_s=5),
        make=functools.partial(light_stages, **faults),
    )
    assert (result.exit_code, result.counts.ok, result.counts.errors) == (3, 7, 3)
    good = {row["id"] for row in read_results(str(tmp_path))}
    assert good == {f"speech-{n}" for n in (1, 3, 5)} | {f"sound-{n}" for n in (1, 2, 3, 4)}
    errors = {row["id"]: row for row in read_errors(str(tmp_path))}
    assert {name: row["kind"] for name, row in errors.items()} == {
        "speech-2": "crash", "speech-4": "fault", "speech-6": "crash",
    }  # fmt: skip
    assert "worker process died" in errors["speech-2"]["message"]
    assert "the device said no" in errors["speech-4"]["message"]
    assert {row["attempts"] for row in errors.values()} == {3}
    assert json.loads(errors["speech-4"]["input"]) == {"audio": "audio/speech-4.wav"}
    assert read_status(str(tmp_path)).kinds == {"crash": 2, "fault": 1}


@pytest.mark.usefixtures("cluster")
def test_when_decoding_dies_nothing_before_it_is_repeated(tmp_path: Path) -> None:
    kept = job(tmp_path, keep="tokens")
    with pytest.raises(RunFailed, match="the device said no"):
        run_job(kept, make=functools.partial(faulty_stages, fail="*"))
    assert len(list(tmp_path.glob("_tokens/*"))) == 3
    result = run_job(kept, make=never_encode)
    assert (result.exit_code, result.counts.ok) == (0, 6)
    assert not list(tmp_path.glob("_tokens/*"))
    for row in read_results(str(tmp_path)):
        assert row["duration_s"] == row["input_duration_s"]


@pytest.mark.usefixtures("cluster")
def test_a_run_ends_its_actors_whoever_still_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []

    def noted(op: Any) -> list[Any]:
        found = actors_of(op)
        held.extend(found)
        return found

    actors_of = ray_internals.actors_of
    monkeypatch.setattr(ray_internals, "actors_of", noted)
    assert run_job(job(tmp_path)).exit_code == 0
    assert held
    for _ in range(100):
        if ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]:
            break
        time.sleep(0.2)
    else:
        pytest.fail(f"only {ray.available_resources().get('CPU', 0)} CPUs are free again")


@pytest.mark.usefixtures("cluster")
def test_a_hopeless_job_stops_early_with_a_summary(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(f'{{"id": "{n}", "audio": "gone-{n}.wav"}}\n' for n in range(8)))
    settings = {"task": "tokenize", "input": str(manifest), "output": str(tmp_path / "out")}
    settings["model"] = "tiny"
    with pytest.raises(RunFailed, match=r"2 of 2 rows failed \(2 missing_file\), more than"):
        run_job(JobConfig(**settings, max_errors="1", unit_rows=1))
    status = read_status(str(tmp_path / "out"))
    assert status.errors == 2
    assert status.left == 6


@pytest.mark.usefixtures("cluster")
def test_a_device_that_fails_every_unit_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"all 3 units failed: .*the device said no"):
        run_job(job(tmp_path), make=functools.partial(faulty_stages, fail="*"))
    status = read_status(str(tmp_path))
    assert (status.state, status.left) == ("running", 6)


def test_a_killed_driver_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    manifest, out = tmp_path / "m.txt", tmp_path / "out"
    manifest.write_text("".join(f"line {n}\n" for n in range(16)))
    command = [
        *CLI, "run", "tts", str(manifest), str(out), "--model", "tiny",
        "--set", "unit_rows=2", "--set", "sampling.max_frames=100", "--set", "commit_interval_s=0",
    ]  # fmt: skip
    log = out / "_log/units"
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(log.glob("*.json"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    before = {path.name: path.read_bytes() for path in log.glob("*.json")}
    assert 3 <= len(before) < 8, "the driver was to be killed half way"
    again = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    rows = read_results(str(out))
    assert sorted(row["line"] for row in rows) == list(range(1, 17))
    after = {path.name: path.read_bytes() for path in log.glob("*.json")}
    assert len(after) == 8
    assert {name: after[name] for name in before} == before
    assert len(list(out.glob("data/*"))) == 8  # no orphan part is left
    assert len(list(out.glob("audio/*/*.flac"))) == 16


def test_ctrl_c_stops_in_order_and_says_how_to_go_on(tmp_path: Path) -> None:
    manifest = tmp_path / "m.txt"
    manifest.write_text("".join(f"line {n}\n" for n in range(40)))
    command = [
        *CLI, "run", "tts", str(manifest), str(tmp_path / "out"), "--model", "tiny",
        "--set", "unit_rows=1", "--set", "sampling.max_frames=300",
    ]  # fmt: skip
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/_log/units/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "interrupted; the same command goes on where it was" in err
    assert not (tmp_path / "out/_log/driver.json").exists()
