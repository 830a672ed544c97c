"""What an OUTPUT of others leads to by links, by its settings and by its lease: to nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from pipelines import JobConfig, UsageError, run_job
from pipelines.jobs.retry import recorded_job
from pipelines.run_state.commit_log import CommitLog
from tests.trust.stand import (
    SECRET,
    Stand,
    edit,
    heard,
    players,
    spoken,
)


@pytest.mark.parametrize("what", ["_log", "_log/units", "_log/units/00000000.json"])
@pytest.mark.parametrize("command", ["status", "report", "export"])
def test_a_log_that_is_a_link_is_refused(stand: Stand, command: str, what: str) -> None:
    out = heard(stand)
    Path(out, what).rename(stand.folder / "moved")
    Path(out, what).symlink_to(stand.folder / "moved")
    told = stand.command(command, out)
    stand.assert_refused(told)
    assert "is a link" in told.err


def test_a_model_s_card_is_read_from_no_folder_that_another_names(stand: Stand) -> None:
    model = stand.folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "README.md").symlink_to(stand.folder / "secret")
    out = heard(stand)
    commit_log = CommitLog(Storage(out))
    run = commit_log.read_run()
    assert run is not None
    run["config"]["model"] = str(model)
    commit_log.write_run(run)  # one's own, and still the link is not followed
    assert stand.cli("report", out).code == 0
    assert "card cannot be read" in Path(out, "report.html").read_text()
    (model / "README.md").unlink()
    (model / "README.md").write_text("Words of the card")
    assert stand.cli("report", out).code == 0
    assert "Words of the card" in Path(out, "report.html").read_text()
    stand.become_another()
    assert stand.cli("report", out, "--with-input-audio").code == 0
    assert "Words of the card" not in Path(out, "report.html").read_text()
    stand.assert_nothing_got_out()


def test_a_retry_of_another_s_run_says_what_it_will_read(stand: Stand) -> None:
    out = heard(stand)
    commit_log = CommitLog(Storage(out))
    run = commit_log.read_run()
    assert run is not None
    job = JobConfig(
        task="asr", input=f"http://127.0.0.1:{stand.port}/m.jsonl", output=out,
        model=f"http://user:word@127.0.0.1:{stand.port}/model", address="ray://elsewhere:1",
        input_rules={"allow": ["http://127.0.0.1/"]},
    )  # fmt: skip
    run["config"] = job.model_dump(mode="json")
    commit_log.write_run(run)
    assert recorded_job(out).input_rules.allow == ("http://127.0.0.1/",)
    stand.become_another()
    told = stand.cli("retry", out)
    assert told.code == 2
    stand.assert_refused(told)
    for words in (
        f"127.0.0.1:{stand.port}/m.jsonl",
        f"127.0.0.1:{stand.port}/model",
        "--yes",
    ):
        assert words in told.err
    assert "word@" not in told.err
    taken = recorded_job(out, yes=True)
    assert (taken.input, taken.input_rules.allow, taken.address) == (job.input, (), None)
    edit(Path(out, "run.json"), lambda run: run["config"]["tts"].update(voices="/their/voices"))
    told = stand.cli("retry", out)
    stand.assert_refused(told)
    assert "voices /their/voices" in told.err


@pytest.mark.parametrize("named", ["a.yaml", ["wer", "http://elsewhere/a.yml"], "wer,secret.yaml"])
def test_no_file_of_scorers_is_read_that_a_run_json_names(stand: Stand, named: Any) -> None:
    out = heard(stand)
    commit_log = CommitLog(Storage(out))
    run = commit_log.read_run()
    assert run is not None
    job = JobConfig(task="asr", input=f"{stand.folder}/m.jsonl", output=out, model="tiny")
    run["config"] = job.model_dump(mode="json") | {"score": {"scorers": named}}
    commit_log.write_run(run)
    stand.become_another()
    for more in ((), ("--yes",)):
        told = stand.cli("retry", out, *more)
        stand.assert_refused(told)
        assert "names a file of scorers" in told.err


@pytest.mark.parametrize("name", ["audio", "data", "errors", "_tokens", "_log", "run.json"])
def test_a_run_does_not_write_list_or_delete_through_links(stand: Stand, name: str) -> None:
    """All of another run is behind the link: none of it goes."""
    other = Path(spoken(stand)).rename(stand.folder / "other")
    for folder in ("errors", "_tokens"):
        (other / folder).mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    out = stand.folder / "out"
    out.mkdir()
    (out / name).symlink_to(other / name)
    (stand.folder / "t.jsonl").write_text('{"id": "a", "text": "hi"}\n')
    job = JobConfig(task="tts", input=f"{stand.folder}/t.jsonl", output=str(out), model="tiny")
    with pytest.raises(UsageError, match=f"{name} is a link"):
        run_job(job)
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
    assert os.listdir(out) == [name]


def test_a_sweep_and_a_verification_go_through_no_link(stand: Stand) -> None:
    other = Path(spoken(stand)).rename(stand.folder / "other")
    out = spoken(stand)
    (unit,) = (other / "audio").iterdir()
    (Path(out) / "audio" / unit.name).symlink_to(unit)
    commit_log = CommitLog(Storage(out))
    assert commit_log.sweep() == 0
    assert len(list(unit.iterdir())) == 3
    assert commit_log.verify() == []
    shutil.rmtree(Path(out, "audio"))
    Path(out, "audio").symlink_to(other / "audio")
    assert all("is a link" in problem for problem in commit_log.verify())
    with pytest.raises(ForeignPath):
        commit_log.sweep()
    assert len(list(unit.iterdir())) == 3


def test_an_export_does_not_clear_or_write_through_links(stand: Stand) -> None:
    out, dst = spoken(stand), stand.folder / "dst"
    assert stand.cli("export", out, str(dst), "--format", "jsonl").code == 0
    (dst / "audio").rename(stand.folder / "precious")
    (dst / "audio").symlink_to(stand.folder / "precious")
    told = stand.cli("export", out, str(dst), "--format", "jsonl")
    assert (told.code, "is a link" in told.err) == (2, True)
    assert len(list((stand.folder / "precious").iterdir())) == 3
    (dst / "audio").unlink()
    (dst / "manifest.jsonl").unlink()
    (dst / "manifest.jsonl").symlink_to(stand.folder / "secret")
    assert stand.cli("export", out, str(dst), "--format", "jsonl").code == 0
    assert (stand.folder / "secret").read_text() == SECRET + "\n"
    (stand.folder / "way").symlink_to(out)
    told = stand.cli("export", out, f"{stand.folder}/way/dst", "--format", "jsonl")
    assert (told.code, "inside OUTPUT" in told.err) == (2, True)


@pytest.mark.parametrize("how", ["a pipe", "a folder", "too large"])
def test_what_is_no_file_in_audio_costs_its_row(stand: Stand, how: str) -> None:
    out = spoken(stand)
    path = min(Path(out, "audio").rglob("*.flac"))
    path.unlink()
    if how == "a pipe":
        os.mkfifo(path)
    elif how == "a folder":
        path.mkdir()
    else:
        with path.open("wb") as file:  # takes no room on the disk
            file.truncate(1 << 40)
    told = stand.cli("export", out, f"{stand.folder}/dst", "--format", "jsonl")
    assert (told.code, "2 rows" in told.out) == (3, True)
    assert stand.cli("report", out).code == 0
    assert players(out) == 2


def test_a_report_is_not_written_through_a_link(stand: Stand) -> None:
    out = spoken(stand)
    Path(out, "report.html").symlink_to(stand.folder / "secret")
    stand.assert_refused(stand.cli("report", out))
    assert (stand.folder / "secret").read_text() == SECRET + "\n"


def test_a_lease_of_others_is_read_with_care(stand: Stand) -> None:
    """Whatever it holds, the run takes it over or says in one line why not."""
    out = Path(stand.folder, "out")
    (out / "_log").mkdir(parents=True)
    (out / "_log/driver.json").symlink_to(stand.folder / "secret")
    (stand.folder / "t.jsonl").write_text('{"id": "a", "text": "hi"}\n')
    job = JobConfig(task="tts", input=f"{stand.folder}/t.jsonl", output=str(out), model="tiny")
    with pytest.raises(UsageError, match=r"driver\.json is a link"):
        run_job(job)
    assert (stand.folder / "secret").read_text() == SECRET + "\n"
