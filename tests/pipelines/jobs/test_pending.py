"""Rows have an identity, units do not: what is new or changed is done, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.storage.audio_files import read_members
from actors.storage.object_store import Storage
from pipelines import JobConfig, RunFailed, RunResult, UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.status import read_status, verify
from tests.conftest import tone, wav_bytes
from tests.pipelines.jobs.test_run import read_errors, run

TOKENIZE: dict[str, Any] = {"executor": "inline", "unit_rows": 4}
SPEAK: dict[str, Any] = {
    "executor": "inline",
    "unit_rows": 4,
    "sampling": {"max_frames": 12, "greedy": True},
}


def sound(folder: Path, name: str, hz: int = 300) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_bytes(tone(0.2, hz=hz)))
    return path


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def is_consistent(output: str, expected: Iterable[str]) -> None:
    """Every id once, also for a bare glob; the files are those of the records, and the sounds
    those of the rows; sums agree."""
    results = read_results(output)
    good = [row["id"] for row in results]
    bad = [row["id"] for row in read_errors(output)]
    assert sorted(good + bad) == sorted(expected)
    folder, commits = Path(output), list(CommitLog(Storage(output)).each_commit())
    there = {
        str(path.relative_to(folder))
        for kind in ("data", "errors", "audio")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }
    assert there == {path for commit in commits for path in commit.files}
    sounds = {path for path in there if path.startswith("audio/")}
    for tar in [path for path in sounds if path.endswith(".tar")]:
        members = read_members(Storage(output), tar)
        sounds = {*sounds, *(f"{tar}/{name}" for name in members)} - {tar}
    assert sounds == {row["audio_path"] for row in results if "audio_path" in row}
    assert verify(output) == []
    status = read_status(output)
    assert (status.ok, status.errors, status.left) == (len(good), len(bad), 0)
    assert (status.units, status.state) == (status.units_done, "finished")
    assert sum(commit.known_rows for commit in commits) == status.rows


def parts(output: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(output).glob("data/*.parquet")}


def test_a_file_more_a_file_less_and_one_replaced(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    for number in range(10):
        sound(folder, f"{number}.wav", 200 + 20 * number)
    names = [f"{number}.wav" for number in range(10)]
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 10
    before = parts(out)
    sound(folder, "0-new.wav", 700)  # in front of all others but one
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 1
    assert parts(out).items() > before.items()
    is_consistent(out, [*names, "0-new.wav"])

    (folder / "3.wav").unlink()
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 0
    is_consistent(out, [*names, "0-new.wav"])
    result = run("tokenize", str(folder), out, removed="withdraw", **TOKENIZE)
    assert (result.computed, result.counts.rows, result.counts.ok) == (0, 10, 10)
    names.remove("3.wav")
    is_consistent(out, [*names, "0-new.wav"])

    codes = {row["id"]: row["recon_codes"] for row in read_results(out)}
    sound(folder, "5.wav", 900)
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 1
    after = {row["id"]: row["recon_codes"] for row in read_results(out)}
    assert [name for name in codes if after[name] != codes[name]] == ["5.wav"]
    is_consistent(out, [*names, "0-new.wav"])
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 0


def test_files_may_be_left_unlooked_at(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    sound(folder, "a.wav")
    trusting = {**TOKENIZE, "manifest": {"check_files": False}}
    assert run("tokenize", str(folder), out, **trusting).computed == 1
    sound(folder, "a.wav", 600)
    assert run("tokenize", str(folder), out, **trusting).computed == 0
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 0  # nothing to compare with


def test_a_sound_in_a_store_is_another_one(bucket: str, tmp_path: Path) -> None:
    store, out = Storage(f"{bucket}/in"), str(tmp_path / "out")
    for number in range(3):
        store.put(f"{number}.wav", wav_bytes(tone(0.2, hz=300 + 50 * number)))
    assert run("tokenize", f"{bucket}/in/", out, **TOKENIZE).computed == 3
    assert run("tokenize", f"{bucket}/in/", out, **TOKENIZE).computed == 0
    store.put("1.wav", wav_bytes(tone(0.2, hz=800)))
    assert run("tokenize", f"{bucket}/in/", out, **TOKENIZE).computed == 1
    is_consistent(out, ["0.wav", "1.wav", "2.wav"])


def test_a_row_on_top_another_order_and_a_limit(tmp_path: Path) -> None:
    manifest, out = tmp_path / "m.jsonl", str(tmp_path / "out")
    rows = [{"id": f"r{number}", "text": f"line {number}"} for number in range(12)]
    source = write_lines(manifest, rows)
    assert run("tts", source, out, limit=5, **SPEAK).computed == 5
    first = {row["id"]: row["recon_codes"] for row in read_results(out)}
    assert run("tts", source, out, **SPEAK).computed == 7  # and then all
    write_lines(manifest, [{"id": "top", "text": "on top"}, *rows])
    assert run("tts", source, out, **SPEAK).computed == 1
    write_lines(manifest, random.Random(1).sample([{"id": "top", "text": "on top"}, *rows], 13))
    assert run("tts", source, out, **{**SPEAK, "unit_rows": 5}).computed == 0
    assert run("tts", source, out, limit=2, **SPEAK).computed == 0
    is_consistent(out, ["top", *(row["id"] for row in rows)])
    assert {row["id"]: row["recon_codes"] for row in read_results(out)}.items() >= first.items()


def test_lines_of_text_are_the_same_wherever_they_stand(tmp_path: Path) -> None:
    manifest, out = tmp_path / "m.txt", str(tmp_path / "out")
    manifest.write_text("one\ntwo\none\n")
    assert run("tts", str(manifest), out, **SPEAK).computed == 3
    manifest.write_text("zero\none\n\ntwo\none\none\n")
    assert run("tts", str(manifest), out, **SPEAK).computed == 2
    found = sorted(row["text"] for row in read_results(out))
    assert found == ["one", "one", "one", "two", "zero"]


def test_a_shard_is_appended(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    folder.mkdir()

    def shard(number: int) -> None:
        held = [wav_bytes(tone(0.2, hz=200 + 90 * number + 10 * row)) for row in range(6)]
        ids = [f"{number}-{row}" for row in range(6)]
        pq.write_table(pa.table({"id": ids, "audio": held}), folder / f"{number}.parquet")

    shard(1)
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 6
    shard(0)
    assert run("tokenize", str(folder), out, **TOKENIZE).computed == 6
    is_consistent(out, [f"{number}-{row}" for number in range(2) for row in range(6)])


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_changed_rows_take_the_place_of_what_was_made_of_them(tmp_path: Path, layout: str) -> None:
    manifest, out = tmp_path / "m.jsonl", str(tmp_path / "out")
    rows = [{"id": f"r{number}", "text": f"line {number}"} for number in range(6)]
    settings = {**SPEAK, "audio_layout": layout}
    source = write_lines(manifest, rows)
    assert run("tts", source, out, **settings).computed == 6
    before = {row["id"]: row for row in read_results(out)}
    rows[1]["text"] = "changed"
    rows[4]["text"], rows[5]["text"] = " ", "all of a unit"  # the first of which fails
    write_lines(manifest, rows)
    result = run("tts", source, out, **settings)
    assert (result.computed, result.counts.ok, result.counts.errors) == (3, 5, 1)
    is_consistent(out, [row["id"] for row in rows])
    after = {row["id"]: row for row in read_results(out)}
    assert (after["r1"]["text"], after["r5"]["text"]) == ("changed", "all of a unit")
    for name in ("r0", "r2", "r3"):
        kept = {key: value for key, value in after[name].items() if key != "audio_path"}
        assert kept == {key: before[name][key] for key in kept}
    rows[4]["text"] = "mended"
    write_lines(manifest, [row for row in rows if row["id"] != "r0"])
    result = run("tts", source, out, removed="withdraw", **settings)
    assert (result.computed, result.counts.ok, result.counts.errors) == (1, 5, 0)
    is_consistent(out, ["r1", "r2", "r3", "r4", "r5"])


@pytest.mark.parametrize(
    ("owner", "method", "lives", "layout"),
    [
        (CommitLog, "commit", 0, "files"),
        (CommitLog, "commit", 1, "tar"),
        (CommitLog, "withdraw", 0, "files"),
        (Storage, "delete_many", 0, "tar"),
        (Storage, "delete_many", 1, "files"),
        (Storage, "put", 6, "tar"),
        (Storage, "put", 9, "files"),
    ],
)
def test_a_run_that_is_killed_while_rows_change_loses_and_doubles_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    lives: int,
    layout: str,
) -> None:
    manifest, out = tmp_path / "m.jsonl", str(tmp_path / "out")
    rows = [{"id": f"r{number}", "text": f"line {number}"} for number in range(8)]
    settings = {**SPEAK, "audio_layout": layout, "unit_rows": 3, "commit_interval_s": 0}
    source = write_lines(manifest, rows)
    run("tts", source, out, **settings)
    for number in (0, 1, 4):
        rows[number]["text"] += " and more"
    del rows[6:]  # the last unit and a row of another
    write_lines(manifest, [{"id": "new", "text": "new"}, *rows])
    original, calls = getattr(owner, method), []

    def dying(self: Any, *given: Any) -> Any:
        calls.append(given)
        if len(calls) > lives:
            raise KeyboardInterrupt
        return original(self, *given)

    with monkeypatch.context() as patch, pytest.raises((RunFailed, KeyboardInterrupt)):
        patch.setattr(owner, method, dying)
        run("tts", source, out, removed="withdraw", **settings)
    Storage(out).delete("_log/driver.json")  # the process that held it is gone
    seen = [row["id"] for row in committed(out)]
    assert len(seen) == len(set(seen))
    assert {f"r{number}" for number in range(6)} <= set(seen)  # what was there, or what is
    result: RunResult = run("tts", source, out, removed="withdraw", **settings)
    assert result.computed <= 4
    is_consistent(out, ["new", *(row["id"] for row in rows)])
    texts = {row["id"]: row["text"] for row in read_results(out)}
    assert texts == {"new": "new", **{row["id"]: row["text"] for row in rows}}


def committed(output: str) -> list[dict[str, Any]]:
    """Rows of the parts that records name."""
    storage = Storage(output)
    return [
        row
        for commit in CommitLog(storage).each_commit()
        for path in commit.data
        for row in pq.read_table(storage.uri(path)).to_pylist()
    ]


def test_what_is_no_longer_there_is_told_and_may_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, out = tmp_path / "m.jsonl", str(tmp_path / "out")
    rows = [{"id": f"r{number}", "text": f"line {number}"} for number in range(3)]
    source = write_lines(manifest, rows)
    run("tts", source, out, **SPEAK)
    write_lines(manifest, rows[:1])
    job = JobConfig(task="tts", input=source, output=out, model="tiny", **SPEAK)
    run_job(job, style="lines")
    assert "2 rows of OUTPUT no longer in INPUT: they stay (--removed withdraw" in (
        capsys.readouterr().out
    )
    with pytest.raises((UsageError, ValueError), match="with limit not all of INPUT is read"):
        run("tts", source, out, limit=1, removed="withdraw", **SPEAK)
    write_lines(manifest, rows)
    assert run("tts", source, out, removed="withdraw", **SPEAK).computed == 0  # it is back
    is_consistent(out, ["r0", "r1", "r2"])


def test_each_channel_of_a_changed_row(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    make_audio("in/a.wav", 0.2, channels=2)
    make_audio("in/b.wav", 0.2, channels=2)
    settings = {**TOKENIZE, "audio": {"channel": "each"}}
    assert run("tokenize", str(folder), out, **settings).computed == 4
    make_audio("in/a.wav", 0.3, channels=3)
    result = run("tokenize", str(folder), out, **settings)
    assert (result.computed, result.counts.rows) == (3, 5)
    found = sorted(row["id"] for row in read_results(out))
    assert found == [f"a.wav/ch{n}" for n in range(3)] + [f"b.wav/ch{n}" for n in range(2)]
    assert verify(out) == []
