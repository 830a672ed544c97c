"""The table of what stops a run: each row with the real failure, and the page that shows them."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.stages.generate import Generator
from actors.storage import file_systems
from actors.storage.object_store import Storage
from pipelines import JobConfig, RunFailed, run_job
from pipelines.causes import CAUSES, STORAGE, stopped
from pipelines.cli.commands import main
from pipelines.executor.ray_executor import RayExecutor
from pipelines.executor.stages import Stages, make_stages
from pipelines.jobs.signals import answered
from pipelines.run_state.commit_log import CommitLog
from tests.support.documents import sections, table_rows

ROOT = Path(__file__).parents[2]
HERE = "tests/pipelines/test_causes.py::"
TESTED = {
    "interrupted": "tests/pipelines/jobs/test_faults.py::"
    "test_ctrl_c_stops_in_order_and_says_how_to_go_on",
    "ray_start": "tests/system/test_networks.py::test_without_a_loopback_ray_is_not_waited_for",
    "ray_join": "tests/pipelines/executor/test_cluster.py::test_what_else_listens_there_is_named",
    "ray_lost": "tests/system/test_networks.py::test_a_head_that_dies_ends_the_run_which_goes_on",
    "ray": f"{HERE}test_what_ray_itself_gives_up_is_rays",
    "node": "tests/pipelines/executor/test_ray_executor.py::"
    "test_a_run_ends_where_the_last_node_does_not_fit",
    "storage": "tests/pipelines/jobs/test_storage_faults.py::"
    "test_a_full_disk_ends_the_run_before_more_is_computed",
    "storage_read": f"{HERE}test_a_store_that_does_not_answer_is_told_by_what_it_holds",
    "input": f"{HERE}test_a_store_that_does_not_answer_is_told_by_what_it_holds",
    "model": f"{HERE}test_a_store_that_does_not_answer_is_told_by_what_it_holds",
    "stage": f"{HERE}test_a_package_that_is_missing_where_a_stage_works_names_the_stage",
    "machine": f"{HERE}test_a_fault_of_this_machine_is_none_of_storage",
    "max_errors": "tests/pipelines/jobs/test_faults.py::"
    "test_a_hopeless_job_stops_early_with_a_summary",
    "other_run": "tests/pipelines/run_state/test_lease.py::test_a_driver_that_lost_its_lease_stops",
}


def test_every_cause_is_tested_and_on_its_page() -> None:
    assert list(TESTED) == [cause.key for cause in CAUSES]
    for test in TESTED.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test
    page = table_rows(sections(ROOT / "docs/operations.md")["When a run stops"])
    assert page == [
        [f"`{cause.key}`", cause.words, cause.when, cause.remedy or "nothing", cause.then]
        for cause in CAUSES
    ]


def test_a_line_keeps_its_remedy_however_long_the_foreign_text() -> None:
    told = str(stopped(STORAGE, "no\n" * 5000))
    assert "\n" not in told
    assert told.startswith("storage: no no")
    assert told.endswith(f"…; {STORAGE.remedy}; the same command goes on where it was")


def job(folder: Path, **settings: Any) -> JobConfig:
    manifest = folder / "texts.txt"
    manifest.write_text("one two three\nfour\n")
    given = {
        "task": "tts", "model": "tiny", "input": str(manifest), "output": str(folder / "out"),
        "sampling": {"max_frames": 10}, "executor": "inline",
    }  # fmt: skip
    return JobConfig(**{**given, **settings})


class Unbuilt(Generator):
    def __init__(self, **_: Any) -> None:
        import no_such_package  # type: ignore[import-not-found] # noqa: F401


def unbuilt_stages(*given: Any) -> Stages:
    made = make_stages(*given)
    arguments = made.pools["generate"][1]
    return replace(made, pools={**made.pools, "generate": (Unbuilt, arguments)})


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_package_that_is_missing_where_a_stage_works_names_the_stage(
    executor: str, tmp_path: Path
) -> None:
    told = "a stage: generate: ModuleNotFoundError: No module named 'no_such_package'; "
    with pytest.raises(RunFailed, match=told) as failed:
        run_job(job(tmp_path, executor=executor), make=unbuilt_stages)
    assert failed.value.cause and failed.value.cause.key == "stage"


@pytest.mark.usefixtures("cluster")
def test_what_ray_itself_gives_up_is_rays() -> None:
    told = r"^Ray: .*ZeroDivisionError: .*goes on"
    with pytest.raises(RunFailed, match=told) as failed, RayExecutor().session(10.0):
        ray.get(ray.remote(num_cpus=0, max_retries=0)(lambda: 1 // 0).remote(), timeout=60)
    assert failed.value.cause and failed.value.cause.key == "ray"


def test_a_store_that_does_not_answer_is_told_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for name, value in {
            "AWS_ENDPOINT_URL": nobody, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "HF_ENDPOINT": nobody, "UNIAUDIO2_CACHE": str(tmp_path / "cache"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(file_systems, "FIRST_WAIT_S", 0.01)
        monkeypatch.setattr(file_systems, "ATTEMPTS", 2)
        monkeypatch.setattr(file_systems, "OPEN_TRIES", 1)
        file_systems._filesystem.cache_clear()
        told = {}
        for key, settings in {
            "input": {"input": "s3://bucket/in.jsonl"},
            "model": {"model": "s3://bucket/model"},
            "storage_read": {"output": "s3://bucket/out"},
        }.items():
            with pytest.raises(RunFailed) as failed:
                run_job(job(tmp_path, **settings))
            told[key] = failed.value
    file_systems._filesystem.cache_clear()
    for key, fault in told.items():
        assert fault.cause and fault.cause.key == key, fault
    assert str(told["input"]).startswith("the input: ")
    assert str(told["input"]).endswith("; nothing was computed")


def test_storage_is_to_blame_for_what_it_was_asked_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file in the place of a folder")
    told = r"^storage: .*Not a directory.*the same command goes on"
    with pytest.raises(RunFailed, match=told), answered():
        CommitLog(Storage(str(tmp_path / "out"))).write_run({})


@pytest.mark.parametrize(
    ("do", "words", "remedy"),
    [
        (lambda: Path("/dev/full").write_text("full"), "No space left on device", "set TMPDIR"),
        (lambda: socket.socket(socket.AF_UNIX).bind("x" * 120), "AF_UNIX", "doctor"),
        (lambda: bytearray(1 << 60), "MemoryError", "more memory"),
    ],
)
def test_a_fault_of_this_machine_is_none_of_storage(do: Any, words: str, remedy: str) -> None:
    told = f"^this machine: .*{words}.*{remedy}"
    with pytest.raises(RunFailed, match=told) as failed, answered():
        do()
    assert "storage" not in str(failed.value)


def test_machines_are_told_the_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a", "text": " "}\n')
    command = ["run", "tts", str(tmp_path / "m.jsonl"), str(tmp_path / "out"), "--model", "tiny"]
    command += ["--executor", "inline"]
    for more, code, event in (
        (["--max-errors", "0"], 1, {"event": "stopped", "cause": "max_errors", "goes_on": True}),
        (["--set", "no_such=1"], 2, {"event": "error"}),
    ):
        monkeypatch.setattr(sys, "argv", ["uniaudio2", *command, *more, "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        last = json.loads(said.out.splitlines()[-1])
        assert end.value.code == last["exit_code"] == code
        assert event.items() <= last.items()
        assert last["message"] in said.err
        assert len(said.err.splitlines()) == 1
