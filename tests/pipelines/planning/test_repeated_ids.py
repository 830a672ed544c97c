"""Ids that repeat are refused with the cause and with what would make them ids of rows."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.input_settings import ManifestConfig
from pipelines.errors import UsageError
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task

ASR, TTS = get_task("asr"), get_task("tts")


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def message(uri: str, **settings: object) -> str:
    with pytest.raises(UsageError) as told:
        make_plan(uri, TTS, manifest=ManifestConfig.model_validate(settings))
    return str(told.value)


def follow(uri: str, told: str) -> int:
    """Rows of the plan by the first setting that a message offers."""
    column = re.search(r"--set manifest\.id=(\S+)", told)
    assert column
    return make_plan(uri, TTS, manifest=ManifestConfig(id=column[1])).rows


KINDS = pytest.mark.parametrize("kind", ["parquet", "jsonl"])


@KINDS
def test_ids_of_sentences_are_told_from_those_of_rows(tmp_path: Path, kind: str) -> None:
    """As FLEURS has them: a sentence is read by several speakers."""
    rows: list[dict[str, object]] = [
        {"id": n % 40, "text": f"s{n % 40}", "speaker": n % 3, "path": f"{n}.wav"}
        for n in range(100)
    ]
    uri = write(tmp_path / f"a.{kind}", rows)
    told = message(uri)
    assert "column 'id' has 40 different values in 100 rows, and 40 of them, such as '0'," in told
    assert "labels something else than a row" in told
    assert "All values of column 'path' differ: --set manifest.id=path takes them" in told
    assert follow(uri, told) == 100


@KINDS
def test_a_column_that_serves_as_audio_is_offered_by_its_own_name(
    tmp_path: Path, kind: str
) -> None:
    rows: list[dict[str, object]] = [{"id": n % 2, "path": f"{n}.wav"} for n in range(6)]
    uri = write(tmp_path / f"a.{kind}", rows)
    with pytest.raises(UsageError, match=r"--set manifest\.id=path takes them"):
        make_plan(uri, ASR)
    assert make_plan(uri, ASR, manifest=ManifestConfig(id="path")).rows == 6


def test_without_a_column_that_tells_rows_apart_places_do(tmp_path: Path) -> None:
    """Numbers and texts whose values differ by chance are not offered."""
    rows: list[dict[str, object]] = [
        {"id": n % 2, "text": f"s{n}", "duration": n, "speaker_id": n % 3, "wav": None}
        for n in range(9)
    ]
    uri = write(tmp_path / "a.parquet", rows)
    told = message(uri)
    assert "All values" not in told
    assert follow(uri, told) == 9


def test_ids_of_a_column_that_was_given_may_repeat_too(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"uid": n % 2, "text": "s", "key": n} for n in range(4)]
    uri = write(tmp_path / "a.parquet", rows)
    told = message(uri, id="uid")
    assert "column 'uid' has 2 different values" in told and "manifest.id=key" in told


@KINDS
def test_rows_drawn_with_replacement_are_offered_places(tmp_path: Path, kind: str) -> None:
    uri = write(tmp_path / f"a.{kind}", [{"text": f"t{n % 3}"} for n in range(10)])
    told = message(uri)
    assert "7 of 10 rows are copies of others, equal in every column. Where rows were drawn" in told
    assert follow(uri, told) == 10
    uri = write(tmp_path / f"b.{kind}", [{"id": f"t{n % 3}", "text": "x"} for n in range(10)])
    told = message(uri)
    assert "3 ids, such as 't0', are of 10 rows that are equal in every column. Where" in told
    assert follow(uri, told) == 10


def test_sounds_that_the_plan_does_not_read_are_not_called_equal(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": 1, "text": "x", "audio": b"%d" % n} for n in range(2)]
    assert "equal in every column but those that hold sounds" in message(
        write(tmp_path / "a.parquet", rows)
    )


def test_ids_that_each_file_counts_by_itself(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"in/{name}.jsonl", [{"id": n, "text": f"{name}{n}"} for n in range(5)])
    told = message(str(tmp_path / "in"))
    assert "5 ids occur in several files, such as '0', '1', '2': each file counts by itself" in told
    assert follow(str(tmp_path / "in"), told) == 10


def test_some_rows_may_be_equal_and_others_not(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "a", "text": "x"}, {"id": "a", "text": "x"}, {"id": "b", "text": "x"},
        {"id": "b", "text": "y"},
    ]  # fmt: skip
    told = message(write(tmp_path / "a.jsonl", rows))
    assert "1 of them, such as 'b', are of rows that differ" in told
    assert "(1 more are of rows that are equal in every column)" in told


@pytest.mark.parametrize("value", [None, ""])
def test_a_row_without_an_id(tmp_path: Path, value: str | None) -> None:
    told = message(write(tmp_path / "a.parquet", [{"id": "a", "text": "x"}, {"id": value}]))
    assert "row 1 has no id; fill its column, or --set manifest.id=place" in told


def test_keys_of_a_tar_whose_members_are_apart(tmp_path: Path) -> None:
    """Whatever is done about them, no sample is split without a word."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("u0.txt", "u1.txt", "u0.json", "u1.json"):
            data = b"words" if name.endswith("txt") else b'{"speaker": "s"}'
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    try:
        plan = make_plan(str(path), TTS)
    except UsageError as told:
        assert "2 keys of tars" in str(told) and "--sort=name" in str(told)
    else:
        assert plan.rows == 2
