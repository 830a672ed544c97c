"""What is known of files that rows name: sizes and times, where one may look."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.audio_values import list_text
from actors.storage.object_store import Storage
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.keys.row_keys import NO_STAMP
from uniaudio2.tasks.table import get_task

TASK = get_task("asr")


def stamps_of(names: list[str | None], base: str, **options: bool) -> list[bytes]:
    return FileStamps(TASK, **options).of_rows(pa.table({"audio": names}), base)


def test_size_and_time_of_local_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    names = ["a.wav", str(path), f"file://{path}", "gone.wav", None, ""]
    relative, absolute, address, gone, *none = stamps_of(names, str(tmp_path))
    assert relative == absolute == address
    assert len({relative, gone, NO_STAMP}) == 3
    assert none == [NO_STAMP, NO_STAMP]
    os.utime(path, ns=(1, 1))
    assert stamps_of(["a.wav"], str(tmp_path)) != [relative]
    assert stamps_of(["a.wav"], str(tmp_path), is_on=False) == [NO_STAMP]


@pytest.mark.parametrize("count", [3, 40])
def test_files_of_a_store_one_by_one_and_as_they_are_listed(bucket: str, count: int) -> None:
    store = Storage(f"{bucket}/in")
    for number in range(count):
        store.put(f"{number}.wav", b"sound")
    names: list[str | None] = [f"{number}.wav" for number in range(count)]
    before = stamps_of(names, f"{bucket}/in")
    assert NO_STAMP not in before
    store.put("1.wav", b"other")
    after = stamps_of(names, f"{bucket}/in")
    assert [row for row in range(count) if before[row] != after[row]] == [1]


def test_nothing_is_asked_of_what_may_not_be_named(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"one")
    names = [str(tmp_path / "a.wav"), "https://example.com/a.wav", "s3://another/a.wav"]
    assert stamps_of([*names], f"{bucket}/in") == [NO_STAMP] * 3


def test_what_cannot_be_looked_at_has_no_stamp(tmp_path: Path) -> None:
    names: list[str | None] = [
        "s3://Not A Bucket!/x.wav",
        "x" * 5000,
        "a\0b",
        "data:audio/wav;base64,UklGRg==",
    ]
    assert stamps_of(names, str(tmp_path)) == [NO_STAMP] * 4


@pytest.mark.parametrize("as_text", [True, False])
def test_every_file_of_a_list_is_looked_at(tmp_path: Path, as_text: bool) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"one")
    lists = [["a.wav", "b.wav"], ["b.wav", "c.wav"], ["c.wav"]]
    names = [list_text(files) for files in lists] if as_text else lists
    table = pa.table({"audio": [*names, None]})
    first, second, single, none = FileStamps(TASK).of_rows(table, str(tmp_path))
    assert len({first, second, single, NO_STAMP}) == 4
    assert (none, [single]) == (NO_STAMP, stamps_of(["c.wav"], str(tmp_path)))
    (tmp_path / "a.wav").write_bytes(b"other")
    changed, *same = FileStamps(TASK).of_rows(table, str(tmp_path))
    assert changed != first
    assert same == [second, single, NO_STAMP]
