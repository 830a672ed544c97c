"""Row groups that many units have rows of are read once, and give the rows that they hold."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.unit import row_ids
from actors.columnar import file_rows, shared_groups
from actors.columnar.file_rows import group_batches, read_file_rows, read_parquet_rows
from actors.columnar.shared_groups import shared_group
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines.planning.plan import make_plan, passthrough_schema
from tests.conftest import wav_bytes
from uniaudio2.tasks.table import get_task

ROWS = 150
# prints bytes that were read and the sizes of what they gave; waits until it is told to end
_READER = """
import sys
from actors.columnar.file_rows import read_file_rows
def read(): return int(open("/proc/self/io").read().split()[1])
path, first, step, last = sys.argv[1], *map(int, sys.argv[2:])
read_file_rows(path + ".warm", 0, 1)
before, sizes = read(), {}
for start in range(first, last, step):
    rows = read_file_rows(path, start, start + 5).to_pylist()
    sizes |= {row["id"]: len(row["audio"]["bytes"]) for row in rows}
print([read() - before, sizes], flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Groups of other processes, and of other tests, are not there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared_groups._held.clear()
    yield
    shared_groups._held.clear()


def _clips(path: Path, rows: int = ROWS, **options: Any) -> None:
    """Clips of 20 KB in one row group and, as pyarrow writes by default, in one page."""
    draws = np.random.default_rng(0)
    sounds = [{"bytes": draws.bytes(20_000 + row), "path": f"{row}.wav"} for row in range(rows)]
    table = pa.table({"id": [f"r{row}" for row in range(rows)], "audio": sounds})
    pq.write_table(table, path, **options)


def _started(path: Path, first: int, step: int, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _READER, str(path), str(first), str(step), str(ROWS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip


def test_a_row_group_is_read_once_by_all_processes(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    _clips(path)
    _clips(tmp_path / "m.parquet.warm", 1)
    processes = [_started(path, first, 10, tmp_path) for first in (0, 5)]
    answers = [eval(process.stdout.readline()) for process in processes]  # type: ignore[union-attr]  # noqa: S307 - what they just printed
    for process in processes:
        process.communicate()
    footers = 2 * (64 << 10)
    assert sum(size for size, _ in answers) < 1.02 * path.stat().st_size + footers
    sizes = {name: size for _, some in answers for name, size in some.items()}
    assert sizes == {f"r{row}": 20_000 + row for row in range(ROWS)}


def test_nothing_stays_of_a_process_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    _clips(path)
    _clips(tmp_path / "m.parquet.warm", 1)
    process = _started(path, 0, 100, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and not file.suffix]
    assert sum(file.stat().st_size for file in kept) < 1000
    assert read_file_rows(str(path), 5, 10)["id"].to_pylist() == [f"r{row}" for row in range(5, 10)]
    process.communicate()


COLUMNS = {
    "text": pa.string(),
    "bytes": pa.binary(),
    "large": pa.large_string(),
    "number": pa.int64(),
    "share": pa.float32(),
    "sound": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    "words": pa.list_(pa.string()),
    "frames": pa.list_(pa.list_(pa.uint16(), 2)),
    "spans": pa.large_list(pa.struct([("start_s", pa.float64()), ("text", pa.string())])),
    "speaker": pa.dictionary(pa.int32(), pa.string()),
}


def _value(kind: pa.DataType, draws: np.random.Generator) -> Any:
    if draws.random() < 0.15:
        return None
    if pa.types.is_dictionary(kind):
        return f"speaker {draws.integers(4)}"
    if pa.types.is_struct(kind):
        return {field.name: _value(field.type, draws) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return draws.integers(0, 99, kind.list_size).tolist()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_value(kind.value_type, draws) for _ in range(draws.integers(4))]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return int(draws.integers(100))
    word = "word " * int(draws.integers(30))
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return word if is_text else word.encode()


WRITTEN = [
    {"compression": compression, "data_page_version": version, "use_dictionary": dictionary,
     "row_group_size": group, "data_page_size": page, "write_batch_size": 7}
    for number, compression in enumerate(("none", "snappy", "zstd", "gzip", "lz4", "brotli"))
    for version, dictionary, group, page in (
        ("1.0", True, 1000, 1 << 20), ("2.0", False, 1000, 300), ("1.0", False, 37, 300),
        ("2.0", True, 64, 1000),
    )
    if number < 2 or (number + page) % 2
]  # fmt: skip


@pytest.mark.parametrize("options", WRITTEN, ids=lambda one: "-".join(map(str, one.values())))
def test_any_rows_are_those_of_the_file(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_rows, "_SHARED_BYTES", 0)
    monkeypatch.setattr(file_rows, "_BATCH_ROWS", 16)
    draws = np.random.default_rng(len(str(options)))
    values = {
        name: pa.array([_value(kind, draws) for _ in range(ROWS)], kind)
        for name, kind in COLUMNS.items()
    }
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table(values), path, **options)
    whole = pq.read_table(path)
    for _ in range(6):
        start = int(draws.integers(ROWS))
        stop = start + int(draws.integers(1, 40))
        names = [name for name in COLUMNS if draws.random() < 0.6] or None
        found = read_file_rows(str(path), start, stop, names)
        expected = whole.slice(start, stop - start)
        expected = expected.select(names) if names else expected
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()
        assert found.equals(read_parquet_rows(str(path), start, stop, names))  # alone
    assert any(shared_groups._held.values())


def test_another_file_of_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    for first in (0, 7):
        _clips(path, 100 + first)
        rows = read_file_rows(str(path), 98, 100).to_pylist()
        assert [len(row["audio"]["bytes"]) for row in rows] == [20_098, 20_099]
        assert next(reversed(shared_groups._held.values())) is not None
    assert len(shared_groups._held) == 2


def test_a_file_in_a_bucket_is_shared(bucket: str) -> None:
    sink = pa.BufferOutputStream()
    words = [np.random.default_rng(row).bytes(20_000) for row in range(100)]
    pq.write_table(pa.table({"raw": words}), sink)
    Storage(bucket).put("m.parquet", sink.getvalue().to_pybytes())
    assert read_file_rows(f"{bucket}/m.parquet", 60, 62)["raw"].to_pylist() == words[60:62]
    (group,) = shared_groups._held.values()
    assert group is not None


def _batches() -> Iterator[pa.RecordBatch]:
    for start in range(0, 30, 10):
        yield pa.record_batch({"row": range(start, start + 10)})


def _rows(start: int) -> list[int]:
    group = shared_group("key", _batches, 1000, 1000)
    assert group is not None
    return [row for _, batch in group.batches(start, 100) for row in batch["row"].to_pylist()]


def test_batches_before_a_row_are_left_out() -> None:
    assert _rows(0) == list(range(30))
    assert _rows(9) == list(range(30))
    assert _rows(10) == list(range(10, 30))
    assert _rows(29) == list(range(20, 30))


def test_batches_are_no_longer_than_asked() -> None:
    group = shared_group("key", _batches, 1000, 1000)
    assert group is not None
    found = [(first, batch.num_rows) for first, batch in group.batches(12, 4)]
    assert found == [(10, 4), (14, 4), (18, 2), (20, 4), (24, 4), (28, 2)]


def test_what_is_shared_in_advance_takes_nobodys_place() -> None:
    first = [shared_group(name, _batches, 1000, 1000, in_advance=True) for name in "abc"]
    assert [group is None for group in first] == [False, False, True]
    assert shared_group("c", _batches, 1000, 1000) is not None
    assert list(shared_groups._held) == ["b", "c"]


def test_rows_without_ids_are_hashed_and_heard_out_of_one_reading(tmp_path: Path) -> None:
    for name, rows in (("warm", 2), ("m", 400)):
        draws = np.random.default_rng(0)
        sounds = [wav_bytes(draws.normal(0, 0.1, 4800)) for _ in range(rows)]
        pq.write_table(pa.table({"audio": sounds}), tmp_path / f"{name}.parquet")
    _loaded(tmp_path / "warm.parquet")  # libraries are read, too
    path = tmp_path / "m.parquet"
    before = _read_so_far()
    loaded = _loaded(path)
    assert _read_so_far() - before < 1.1 * path.stat().st_size
    assert loaded["input_samples"].to_pylist() == [4800] * 400
    assert loaded["id"].to_pylist() == row_ids(pq.read_table(path))


def _loaded(path: Path) -> pa.Table:
    task = get_task("tokenize")
    plan = make_plan(str(path), task)
    loader = Loader(task, passthrough_schema(plan.schema))
    return pa.concat_tables(loader(unit.to_table()) for unit in plan.units)


def _read_so_far() -> int:
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["rchar"])


def test_who_ended_while_reading_a_group_did_so_for_all(tmp_path: Path) -> None:
    """A page may end the process that reads it; the units before it are to be done all the same."""

    def ended() -> Iterator[pa.RecordBatch]:
        yield from _batches()
        raise OSError("stands for the end of the process")

    assert shared_group("key", ended, 1000, 1000) is None
    shared_groups._held.clear()
    assert shared_group("key", _batches, 1000, 1000) is None
    shared_groups._held.clear()
    for slot in tmp_path.glob(f"{shared_groups._PREFIX}*/*"):
        began = f"{time.time() - 2 * shared_groups._AGAIN_S:.0f}"
        slot.write_text(f"{slot.read_text().rpartition(' ')[0]} {began}")
    assert _rows(0) == list(range(30))


@pytest.mark.parametrize(("packed", "unpacked"), [(1000, 1 << 60), (0, 1 << 27)])
def test_a_group_that_takes_too_much_is_not_written(packed: int, unpacked: int) -> None:
    assert shared_group("key", _batches, packed, unpacked) is None


def test_values_that_stand_for_far_more_than_their_file_are_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_groups, "_SMALL_BYTES", 1000)
    batches = [pa.record_batch({"text": ["x" * 500]}) for _ in range(9)]
    assert shared_group("key", lambda: batches, 10, 10) is None


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / f"{shared_groups._PREFIX}{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert shared_group("key", _batches, 1000, 1000) is None


class _TwoAsOne(pq.ParquetFile):
    """Reads all groups as if they were one: dictionaries of structs give more than one chunk."""

    def iter_batches(self, size: int, **options: Any) -> Iterator[pa.RecordBatch]:
        del options["row_groups"]
        return super().iter_batches(size, **options)  # type: ignore[no-any-return] # untyped


def test_batches_that_arrow_cannot_make_are_read_smaller(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    texts = [f"text {row}" for row in range(24)]
    pq.write_table(pa.table({"sound": [{"path": text} for text in texts]}), path, row_group_size=12)
    with (
        pq.ParquetFile(path, read_dictionary=["sound.path"]) as file,
        pytest.raises(pa.ArrowNotImplementedError, match="chunked array outputs"),
    ):
        list(file.iter_batches(8))
    with _TwoAsOne(path, read_dictionary=["sound.path"]) as file:
        found = list(group_batches(file, 0, 8, None))
    assert [first for first, _ in found] == [0, 8, *range(9, 24)]
    assert [row["sound"]["path"] for _, batch in found for row in batch.to_pylist()] == texts
