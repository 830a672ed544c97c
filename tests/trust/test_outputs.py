"""An OUTPUT that somebody else made: nothing outside of it is read, asked, shown or deleted."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.export.export import FORMATS
from pipelines.export.timed.files import TIMED_FORMATS
from tests.trust.stand import (
    COMMANDS,
    NEED_AUDIO,
    SECRET,
    TEXT,
    Stand,
    edit,
    heard,
    players,
    records,
    spoken,
)


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
