"""A disk that is full and a network that is gone end a run, and the same command goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.storage import file_systems
from actors.storage.object_store import Storage
from pipelines import JobConfig, RunFailed, run_job
from pipelines.cli.demo import read_results
from pipelines.run_state.status import read_status, verify
from tests.chaos.proxy import FaultProxy

ROWS = 24


def job(folder: Path, output: str) -> JobConfig:
    manifest = folder / "texts.txt"
    manifest.write_text("\n".join(f"one two three {row}" for row in range(ROWS)))
    return JobConfig(
        task="tts", model="tiny", input=str(manifest), output=output, unit_rows=2,
        sampling={"max_frames": 40}, executor="inline",
    )  # fmt: skip


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_run_before_more_is_computed(small_disk: Path, tmp_path: Path) -> None:
    asked = job(tmp_path, str(small_disk / "out"))
    with pytest.raises(RunFailed, match=r"storage.*No space left.*the same command goes on"):
        run_job(asked)
    before = read_status(asked.output)
    assert 0 < before.ok < ROWS
    assert before.errors == 0  # no row is to blame
    assert verify(asked.output) == []
    assert not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    result = run_job(asked)
    assert (result.counts.ok, result.counts.errors) == (ROWS, 0)
    assert len({row["id"] for row in read_results(asked.output)}) == ROWS
    assert verify(asked.output) == []


def test_a_full_disk_costs_no_row_when_only_few_are_left(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "other").write_bytes(bytes(150_000))
    asked = job(tmp_path, str(small_disk / "out")).model_copy(update={"limit": 4})
    with pytest.raises(RunFailed, match="No space left"):
        run_job(asked)
    assert read_status(asked.output).errors == 0
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert run_job(asked).counts.ok == 4


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A network between this process and the S3 server, and little patience with it."""
    with FaultProxy(s3_server, kinds={"503": 1, "cut_before": 1}) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        monkeypatch.setattr(file_systems, "FIRST_WAIT_S", 0.01)
        monkeypatch.setattr(file_systems, "ATTEMPTS", 3)
        file_systems._filesystem.cache_clear()
        yield made
    file_systems._filesystem.cache_clear()


def test_a_network_that_is_gone_ends_the_run_and_leaves_its_state(
    bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job(tmp_path, f"{bucket}/out").model_copy(update={"commit_interval_s": 0.0})
    create = Storage.create

    def create_and_cut(self: Storage, path: str, data: bytes) -> None:
        create(self, path, data)
        if path == "_log/units/00000003.json":
            proxy.rate = 1.0

    monkeypatch.setattr(Storage, "create", create_and_cut)
    with pytest.raises(RunFailed, match=r"storage.*the same command goes on"):
        run_job(asked)
    proxy.rate = 0.0
    assert (read_status(asked.output).ok, read_status(asked.output).errors) == (8, 0)
    result = run_job(asked)
    assert (result.counts.ok, result.counts.errors) == (ROWS, 0)
    assert len({row["id"] for row in read_results(asked.output)}) == ROWS
    assert verify(asked.output) == []
