"""An OUTPUT on a real exFAT disk: no hard links, no letter case, few signs in names."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.cli.demo import read_results
from pipelines.cli.doctor import check_storage
from pipelines.executor.private_ray import _own_folder, folders_for_ray
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.status import verify
from tests.actors.disks.races import killed_at_every_line, race
from tests.system.disks import exfat

IDS = ["a", "A", 'a:b?c*<d>|"e', "ends with dots...", "CON", "aux.wav", "x" * 300, "ü/ä\\ö"]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with exfat(tmp_path_factory.mktemp("e")) as place:
        yield place


def test_the_disk_is_what_it_shall_be(drive: Path) -> None:
    (drive / "Name").touch()
    assert (drive / "nAME").exists()
    with pytest.raises(PermissionError):
        os.link(drive / "Name", drive / "other")
    with pytest.raises(OSError, match="a:b"):
        (drive / "a:b").touch()


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_a_run_its_resumption_and_its_records(
    drive: Path, tmp_path: Path, layout: Literal["files", "tar"]
) -> None:
    rows = [{"id": name, "text": f"{number} one two"} for number, name in enumerate(IDS)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = JobConfig(
        task="tts", model="tiny", input=str(tmp_path / "m.jsonl"), output=str(drive / layout),
        unit_rows=2, sampling={"max_frames": 20}, executor="inline", audio_layout=layout,
    )  # fmt: skip
    assert run_job(asked.model_copy(update={"limit": 3})).counts.ok == 3
    result = run_job(asked)
    assert (result.counts.ok, result.counts.errors) == (len(IDS), 0)
    assert result.computed == len(IDS) - 3
    found = read_results(asked.output)
    assert (
        len({row["id"] for row in found}) == len({row["audio_path"] for row in found}) == len(IDS)
    )
    assert verify(asked.output) == []
    assert not list(drive.rglob("*.tmp"))


def test_of_writers_at_once_one_wins_and_all_see_whole_files(drive: Path) -> None:
    winners = race(drive / "race", writers=4, names=15)
    assert [len(some) for some in winners] == [1] * 15


def test_a_writer_killed_at_any_line_leaves_what_the_next_run_removes(drive: Path) -> None:
    lines = killed_at_every_line(drive / "killed")
    named = os.listdir(drive / "killed/_log/units")
    assert len(named) > lines > 12
    storage = Storage(str(drive / "killed"))
    whole = [name for name in named if name.endswith(".json")]
    for name in whole:  # no commits of a run: they go, and what was left behind must go with them
        storage.delete(f"_log/units/{name}")
    assert CommitLog(storage).sweep() == len(named) - len(whole)
    assert storage.list("") == []


def test_the_doctor_names_what_such_a_disk_lacks(drive: Path) -> None:
    found = check_storage(str(drive))
    assert found.passed
    assert "(no hard links: a lock in their place)" in found.found
    assert "make room for results: only 0.1 GB free" in found.hint


def test_ray_has_its_sockets_elsewhere(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp", uuid.uuid4().hex[:8])  # noqa: S108 - a long path would not be taken
    short.symlink_to(drive)
    try:
        monkeypatch.setenv("RAY_TMPDIR", str(short))
        assert folders_for_ray()[0] == str(short)
        assert _own_folder().parent != short
    finally:
        short.unlink()
    assert not list(drive.glob("ua2-ray-*"))
