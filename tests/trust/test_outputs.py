"""An OUTPUT that somebody else made: nothing outside of it is read, asked, shown or deleted."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from pipelines import JobConfig, UsageError, run_job
from pipelines.cli.commands import main
from pipelines.export.export import FORMATS
from pipelines.export.timed.files import TIMED_FORMATS
from pipelines.jobs.retry import recorded_job
from pipelines.run_state import seals
from pipelines.run_state.commit_log import CommitLog
from tests.conftest import tone, wav_bytes
from tests.pipelines.committed import make_output

SECRET = "the-line-of-a-file-that-only-its-owner-reads"
TEXT = "bytes-of-a-file-that-no-message-repeats"
NEED_AUDIO = ("nemo", "kaldi", "lhotse", "shar")
COMMANDS = ("status", "report", "export", "retry")


@dataclass
class Told:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass
class Stand:
    """A folder with secrets of this user, a server that counts, and the command line."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def cli(self, *arguments: str) -> Told:
        """Run a command as a user does; a traceback fails the test."""
        self.monkeypatch.setattr(sys, "argv", ["uniaudio2", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = self.capsys.readouterr()
        assert SECRET not in said.out + said.err
        assert TEXT not in said.out + said.err
        assert all(line.isprintable() for line in (said.out + said.err).splitlines())
        assert isinstance(end.value.code, int)
        return Told(end.value.code, said.out, said.err)

    def command(self, name: str, out: str) -> Told:
        more = [f"{self.folder}/dst", "--format", "jsonl"] if name == "export" else []
        return self.cli(name, out, *more)

    def assert_refused(self, told: Told) -> None:
        assert told.code in (1, 2)
        assert len(told.err.splitlines()) == 1
        self.assert_nothing_got_out()

    def assert_nothing_got_out(self) -> None:
        assert self.asked == []
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name != "secret":
                assert SECRET.encode() not in path.read_bytes(), path

    def become_another(self) -> None:
        """From now on this user has another key: what was sealed before is another's."""
        self.monkeypatch.setenv("XDG_STATE_HOME", str(self.folder / f"state-{len(self.asked)}"))
        seals._key.cache_clear()


@pytest.fixture
def stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stand]:
    made = Stand(tmp_path, capsys, monkeypatch)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    made.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "private.wav").write_bytes(wav_bytes(tone(0.2)))
    yield made
    server.shutdown()
    server.server_close()
    seals._key.cache_clear()


def heard(stand: Stand, name: str = "out", **facts: Any) -> str:
    """Transcripts of recordings: a private one by its path, one on a server, a text."""
    named = [
        f"{stand.folder}/private.wav", "private.wav", f"file://{stand.folder}/private.wav",
        f"http://127.0.0.1:{stand.port}/a.wav", f"{stand.folder}/secret",
        f"{stand.folder}/secret#bytes=0+8",
    ]  # fmt: skip
    rows = [{"id": f"r{n}", "audio": value} for n, value in enumerate(named)]
    sources = [f"{stand.folder}/m.jsonl"]
    waves = [torch.zeros(4800)] * len(rows)
    return make_output(
        f"{stand.folder}/{name}", "asr", rows, waves, ["x"] * len(rows), sources, **facts
    )


def spoken(stand: Stand, layout: str = "files") -> str:
    rows = [{"id": f"r{n}", "text": "hello"} for n in range(3)]
    waves = [torch.from_numpy(tone(0.1))] * 3
    return make_output(f"{stand.folder}/out", "tts", rows, waves, audio_layout=layout)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def records(out: str) -> list[Path]:
    return sorted(Path(out, "_log/units").iterdir())


def players(out: str) -> int:
    return Path(out, "report.html").read_text().count("<audio ")


def test_a_report_of_another_s_run_reads_nothing_outside_of_it(stand: Stand) -> None:
    out = heard(stand)
    stand.become_another()
    assert stand.cli("report", out).code == 0
    stand.assert_nothing_got_out()
    page = Path(out, "report.html").read_text()
    assert players(out) == 0
    assert "not available" not in page
    assert page.count(f"uniaudio2 report {out} --with-input-audio") == 1
    assert stand.cli("report", out, "--with-input-audio").code == 0
    assert players(out) == 3  # who asks for it hears what the rows name
    stand.assert_nothing_got_out()


def test_a_report_of_one_s_own_run_plays_its_input(stand: Stand) -> None:
    out = heard(stand)
    assert stand.cli("report", out).code == 0
    assert players(out) == 3
    assert "--with-input-audio" not in Path(out, "report.html").read_text()


# what these have holds neither codes nor words
@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("pt", "ctm")])
@pytest.mark.parametrize("copy", [False, True])
def test_an_export_of_another_s_run_reads_nothing_outside_of_it(
    stand: Stand, kind: str, copy: bool
) -> None:
    out = heard(stand)
    stand.become_another()
    told = stand.cli(
        "export", out, f"{stand.folder}/dst", "--format", kind, *["--copy-audio"] * copy
    )
    stand.assert_nothing_got_out()
    made = [path for path in Path(stand.folder, "dst").rglob("*") if path.is_file()]
    assert not [path for path in made if path.suffix in (".flac", ".wav")]
    if kind in NEED_AUDIO or (copy and kind not in TIMED_FORMATS):
        assert told.code == 3
        assert "skipped input_of_another: 6" in told.out
        assert "--with-input-audio" in told.out
    else:
        assert told.code == 0


def test_an_export_with_input_audio_takes_what_the_rows_name(stand: Stand) -> None:
    out = heard(stand)
    stand.become_another()
    told = stand.cli(
        "export", out, f"{stand.folder}/dst", "--format", "nemo", "--copy-audio",
        "--with-input-audio",
    )  # fmt: skip
    assert "3 rows" in told.out
    stand.assert_nothing_got_out()


def test_a_copy_is_not_one_s_own(stand: Stand) -> None:
    """All its seals are, but not for this place: who copied it may have changed its parts."""
    out = heard(stand)
    shutil.copytree(out, f"{stand.folder}/copy")
    assert stand.cli("report", f"{stand.folder}/copy").code == 0
    assert players(f"{stand.folder}/copy") == 0


@pytest.mark.parametrize("how", ["unsealed", "copied seal", "other bytes"])
def test_rows_that_others_planted_in_one_s_own_run_name_nothing(stand: Stand, how: str) -> None:
    out = heard(stand, unit_rows=1)
    first, *others = records(out)
    for record in others:
        record.unlink()
    part = Path(out, json.loads(first.read_text())["data"][0])
    assert stand.cli("report", out).code == 0
    assert players(out) == 1
    if how == "other bytes":
        table = pq.read_table(part)
        place = table.column_names.index("audio")
        audio = pa.array([f"{stand.folder}/./private.wav"])
        pq.write_table(table.set_column(place, "audio", audio), part)
    else:
        edit(first, lambda facts: facts.update(ok=0, seal=facts["seal"] if "copied" in how else ""))
    assert stand.cli("report", out).code == 0
    assert players(out) == 0
    told = stand.cli("export", out, f"{stand.folder}/dst", "--format", "nemo")
    assert "skipped input_of_another: 1" in told.out


@pytest.mark.parametrize("field", ["sources", "config", "job"])
def test_a_run_json_that_others_changed_is_another_s(stand: Stand, field: str) -> None:
    out = heard(stand)
    run = Path(out, "run.json")
    if field == "sources":
        edit(run, lambda facts: facts["input"].update(sources=["/"]))
    else:
        edit(run, lambda facts: facts[field].update(more=1))
    assert stand.cli("report", out).code == 0
    assert players(out) == 0


@pytest.mark.parametrize("kind", ["jsonl", "webdataset", "huggingface", "kaldi", "shar", "lhotse"])
@pytest.mark.parametrize("layout", ["files", "tar"])
def test_links_in_audio_are_not_followed(stand: Stand, kind: str, layout: str) -> None:
    out = spoken(stand, layout)
    for number, path in enumerate(sorted(Path(out, "audio").rglob("*.*"))):
        path.unlink()
        path.symlink_to(stand.folder / ("secret" if number else "private.wav"))
    told = stand.cli("export", out, f"{stand.folder}/dst", "--format", kind)
    assert (told.code, "skipped missing_file: 3" in told.out) == (3, True)
    assert stand.cli("report", out).code == 0
    assert players(out) == 0
    stand.assert_nothing_got_out()


@pytest.mark.parametrize(
    "value",
    [
        "../secret", "/etc/passwd", "run.json", "x.flac/../../secret", "audio", "",
        "file:///etc/passwd.flac", "a\x1b[2J.flac",
    ],
)  # fmt: skip
def test_an_audio_path_leads_to_nothing_else(stand: Stand, value: str) -> None:
    out = spoken(stand)
    for part in Path(out, "data").iterdir():
        table = pq.read_table(part)
        place = table.column_names.index("audio_path")
        table = table.set_column(place, "audio_path", pa.array([value] * table.num_rows))
        pq.write_table(table, part)
    told = stand.cli("export", out, f"{stand.folder}/dst", "--format", "jsonl")
    assert (told.code, "0 rows" in told.out) == (3, True)
    assert stand.cli("report", out).code == 0
    assert players(out) == 0
    stand.assert_nothing_got_out()


@pytest.mark.parametrize("command", ["status", "report", "export"])
@pytest.mark.parametrize("field", ["data", "error_parts", "audio"])
def test_a_record_that_names_what_is_outside_is_refused(
    stand: Stand, command: str, field: str
) -> None:
    out = heard(stand)
    pq.write_table(pa.table({"id": [SECRET]}), stand.folder / "secret")
    edit(records(out)[0], lambda facts: facts.update({field: ["../secret"]}))
    told = stand.command(command, out)
    stand.assert_refused(told)
    assert "_log/units/00000000.json" in told.err


def ruin_run(path: Path, how: str, secret: Path) -> None:
    """Make something else of ``run.json``."""
    if how == "control signs":
        for name in ("state", "started"):
            edit(path, lambda facts, name=name: facts.update({name: f"\x1b]0;{name}\x07"}))
        return
    if how.startswith("{"):
        edit(path, lambda facts: facts.update(json.loads(how)))
        return
    path.unlink()
    if how == "a link":
        path.symlink_to(secret)
    elif how == "a folder":
        path.mkdir()
    elif how == "a pipe":
        os.mkfifo(path)
    elif how == "too large":
        with path.open("wb") as file:
            file.truncate((64 << 20) + 1)
    else:
        path.write_bytes({"text": TEXT.encode(), "deep": b"[" * 300_000, "empty": b""}[how])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "how",
    [
        "a link", "a folder", "a pipe", "too large", "text", "deep", "empty", "control signs",
        '{"job": []}', '{"input": {"rows": -1}}', '{"input": {"rows": NaN}}', '{"config": 7}',
        '{"input": null}', '{"job": {"task": {}}}', '{"state": {}}',
    ],
)  # fmt: skip
def test_a_run_json_that_is_none_is_one_line(stand: Stand, command: str, how: str) -> None:
    out = heard(stand)
    ruin_run(Path(out, "run.json"), how, stand.folder / "secret")
    stand.assert_refused(stand.command(command, out))


def test_what_status_shows_cannot_move_the_cursor(stand: Stand) -> None:
    out = heard(stand)
    signs = "\x1b]0;owned\x07\x1b[2J\u202e\n\x9b31m"
    edit(Path(out, "run.json"), lambda facts: facts.update(state=signs))
    edit(Path(out, "run.json"), lambda facts: facts["job"].update(task=signs, model=signs))
    told = stand.cli("status", out)
    assert told.code == 0
    assert "\\x1b" in told.out
    assert json.loads(stand.cli("status", out, "--json").out)["state"].isprintable()
    stand.assert_refused(stand.cli("report", out))
    stand.assert_refused(stand.cli("export", out, f"{stand.folder}/dst", "--format", "jsonl"))


def ruin_part(path: Path, how: str, secret: Path) -> None:
    """Make something else of a part."""
    table = pq.read_table(path)
    path.unlink()
    if how == "a link":
        path.symlink_to(secret)
    elif how == "a folder":
        path.mkdir()
    elif how == "text":
        path.write_text(TEXT)
    elif how == "many rows":
        pq.write_table(pa.table({"id": pa.array(["x"]).take(pa.array([0] * 1_000_000))}), path)
    elif how == "numbers for ids":
        pq.write_table(pa.table({"id": [1, 2, 3]}), path)
    elif how == "no ids":
        pq.write_table(table.drop_columns(["id"]), path)
    elif how == "null ids":
        pq.write_table(pa.table({"id": pa.array([None], pa.string())}), path)


@pytest.mark.parametrize(
    "how",
    ["a link", "a folder", "text", "gone", "many rows", "numbers for ids", "no ids", "null ids"],
)
def test_a_part_that_is_none_costs_itself_or_one_line(stand: Stand, how: str) -> None:
    out = heard(stand)
    ruin_part(next(Path(out, "data").glob("part-00000000-*")), how, stand.folder / "secret")
    stand.assert_refused(stand.cli("report", out))
    told = stand.cli("export", out, f"{stand.folder}/dst", "--format", "jsonl")
    assert (told.code, "skipped unreadable_part: 1" in told.out) == (3, True)
    assert "3 rows" in told.out
    told = stand.cli("status", out, "--verify")
    assert (told.code, told.out.count("verify data/part-00000000")) == (1, 1)
    stand.assert_nothing_got_out()


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_of_other_types_cost_their_rows_or_one_line(stand: Stand, kind: str) -> None:
    out = spoken(stand)
    columns = {
        "id": ["a", "b", "c"], "text": [1, 2, 3], "audio_path": [1.5, 2.5, 3.5],
        "duration_s": ["x", "y", "z"], "reason_codes": ["q", "r", "s"], "finish_reason": [[1]] * 3,
        "recon_codes": [[1, 2], [3], None], "words": [1, 2, 3], "segments": [["x"]] * 3,
    }  # fmt: skip
    for part in Path(out, "data").iterdir():
        pq.write_table(pa.table(columns), part)
    told = stand.cli("export", out, f"{stand.folder}/dst", "--format", kind)
    assert told.code in (1, 3)
    assert stand.cli("report", out).code == 0


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
    for words in (f"127.0.0.1:{stand.port}/m.jsonl", f"127.0.0.1:{stand.port}/model", "--yes"):
        assert words in told.err
    assert "word@" not in told.err
    taken = recorded_job(out, yes=True)
    assert (taken.input, taken.input_rules.allow, taken.address) == (job.input, (), None)


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
