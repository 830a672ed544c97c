"""Arrow streams: any rows, without reading the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.unit import to_stream
from actors.columnar.arrow_stream import ArrowStream
from actors.storage.object_store import Storage

ROWS = 50
TABLE = pa.table(
    {"id": [f"r{n}" for n in range(ROWS)], "audio": [{"bytes": b"x" * n, "path": None}
     for n in range(ROWS)]}
)  # fmt: skip


def _stream(chunk: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=chunk)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("where", ["local", "s3"])
def test_any_rows(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    Storage(root).put("a.arrow", _stream(7))
    with ArrowStream(f"{root}/a.arrow") as file:
        assert (file.num_rows, file.schema) == (ROWS, TABLE.schema)
        for start, stop in [(0, ROWS), (5, 9), (6, 22), (49, 50), (20, 20)]:
            assert file.read(start, stop).equals(TABLE.slice(start, stop - start))
        assert file.read(6, 8, ["id"])["id"].to_pylist() == ["r6", "r7"]
        batches = list(file.iter_batches(3, ["id"]))
        assert pa.Table.from_batches(batches).equals(TABLE.select(["id"]))
        assert max(batch.num_rows for batch in batches) == 3


def test_only_the_wanted_batches_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.arrow").write_bytes(_stream(10))
    with ArrowStream(str(tmp_path / "a.arrow")) as file:
        read, rows = file._read, []

        def noted(batch: Any, columns: list[str] | None) -> pa.RecordBatch:
            found = read(batch, columns)
            rows.extend(found["id"].to_pylist())
            return found

        monkeypatch.setattr(file, "_read", noted)
        assert file.read(25, 30)["id"].to_pylist() == [f"r{n}" for n in range(25, 30)]
        assert rows == [f"r{n}" for n in range(20, 30)]


@pytest.mark.parametrize("size", [0, 3, 100, 1000, -1])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    data = _stream(10)
    end = data.rindex(b"r49") if size < 0 else size
    (tmp_path / "a.arrow").write_bytes(data[:end])
    with pytest.raises(pa.ArrowInvalid):
        ArrowStream(str(tmp_path / "a.arrow"))


def test_dictionaries_are_refused(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array(["a", "b"]).dictionary_encode()})
    (tmp_path / "a.arrow").write_bytes(to_stream(table))
    with pytest.raises(pa.ArrowInvalid, match="dictionary"):
        ArrowStream(str(tmp_path / "a.arrow"))


def test_a_schema_that_claims_more_than_the_file_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(_stream(10))
    data[14] = 0x0B  # its body has 34 GB from here on
    (tmp_path / "a.arrow").write_bytes(data)
    monkeypatch.setattr(ArrowStream, "_read_schema", lambda *_: pytest.fail("it was read"))
    with pytest.raises(pa.ArrowInvalid, match="inside a message of 34"):
        ArrowStream(str(tmp_path / "a.arrow"))


@given(st.binary(max_size=300), st.integers(0, 2000))
@settings(deadline=None, max_examples=150)
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("s") / "a.arrow"
    whole = bytearray(_stream(10))
    whole[at : at + len(data)] = data
    path.write_bytes(whole)
    try:
        with ArrowStream(str(path)) as file:
            assert file.num_rows >= 0
    except pa.ArrowException:
        pass


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_packed_buffers_that_unpack_to_too_much_are_refused(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"id": ["a"], "text": ["x" * 100_000]})
    (tmp_path / "a.arrow").write_bytes(to_stream(table, compression))
    assert (tmp_path / "a.arrow").stat().st_size < 2000
    with ArrowStream(str(tmp_path / "a.arrow")) as file:
        assert file.read(0, 1).equals(table)
        monkeypatch.setattr("actors.columnar.arrow_stream._MAX_UNPACKED_BYTES", 99_000)
        with pytest.raises(pa.ArrowInvalid, match=r"record batch of 100.*write batches of fewer"):
            file.read(0, 1)


def test_a_batch_beyond_all_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.arrow").write_bytes(_stream(10))
    monkeypatch.setattr("actors.columnar.arrow_stream._MAX_BATCH_BYTES", 100)
    with pytest.raises(pa.ArrowInvalid, match="at most 100: write batches of fewer rows"):
        ArrowStream(str(tmp_path / "a.arrow"))
