"""Readers: every kind of manifest becomes the same kind of rows."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actors.batch.names import FAULT_COLUMN
from actors.stages.load import Loader
from actors.storage import file_systems
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.manifest import discovery
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.formats.text_formats import parse_jsonl, parse_lines
from pipelines.manifest.tables.row_tables import table_of_dicts
from pipelines.manifest.tables.text_lines import TextFile, encoding_of
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.audio.sniff import is_pointer
from uniaudio2.errors import BadRow
from uniaudio2.tasks.table import get_task


def test_jsonl_with_differing_keys_types_and_a_broken_line() -> None:
    data = b'{"id": 1, "text": "a"}\n\n{"id": "x", "n": [1]}\nnot json\n[1]\n{"text": 5}\n'
    rows = parse_jsonl(data).to_pylist()
    assert [row["id"] for row in rows][2:4] == ["line-4", "line-5"]
    assert FAULT_COLUMN in rows[2]
    assert "line 4" in rows[2][FAULT_COLUMN]
    assert len(rows) == 5


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_break_the_jsonl_reader(data: bytes) -> None:
    assume(encoding_of(data).startswith("utf-8") and not is_pointer(data))
    text = data.decode("utf-8-sig", "surrogateescape")
    lines = [line for line in io.StringIO(text, newline=None) if line.strip()]
    assert parse_jsonl(data).num_rows == len(lines)


def test_lines_that_name_nothing_are_rows_that_fail() -> None:
    faults = parse_jsonl(b"{}\n\n{}\n")[FAULT_COLUMN].to_pylist()
    assert [fault[:24] for fault in faults] == [
        "line 1: it names nothing",
        "line 3: it names nothing",
    ]
    mixed = parse_jsonl(b'{"audio": "a.wav"}\n{}\n').to_pylist()
    assert [row["audio"] for row in mixed] == ["a.wav", None]


def test_deep_nesting_is_a_bad_row() -> None:
    assert parse_jsonl(b'{"a":' * 100_000).to_pylist()[0][FAULT_COLUMN]


def test_mixed_types_become_text() -> None:
    table = table_of_dicts([{"a": 1}, {"a": "x"}, {}])
    assert table["a"].to_pylist() == ["1", "x", None]


def test_text_files_keep_their_line_numbers() -> None:
    rows = parse_lines(b"one\n\nthree\n").drop_columns(["id"]).to_pylist()
    assert rows == [{"line": 1, "text": "one"}, {"line": 3, "text": "three"}]


def test_a_folder_of_audio(make_audio: Callable[..., Path], tmp_path: Path) -> None:
    make_audio("in/b.wav")
    make_audio("in/sub/a.flac")
    (tmp_path / "in/notes.md").write_text("not audio")
    (source,) = find_sources(str(tmp_path / "in"))
    assert source.table is not None
    assert source.table["id"].to_pylist() == ["b.wav", "sub/a.flac"]
    assert source.base == str(tmp_path / "in")


def test_a_folder_of_code_pairs(tmp_path: Path) -> None:
    torch.save(torch.zeros(8, 3), tmp_path / "a_semantic.pt")
    torch.save(torch.zeros(8, 2), tmp_path / "a_reason.pt")
    torch.save(torch.zeros(8, 3), tmp_path / "b_semantic.pt")
    (source,) = find_sources(str(tmp_path))
    assert source.table is not None
    rows = source.table.to_pylist()
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["recon_path"] == str(tmp_path / "a_semantic.pt")
    assert rows[1]["reason_path"] is None


@pytest.mark.parametrize("where", ["local", "s3"])
def test_parquet_files_folders_and_globs(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    for name, count in (("m/a.parquet", 3), ("m/b.parquet", 2)):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [f"{name}{i}" for i in range(count)]}), sink)
        Storage(root).put(name, sink.getvalue().to_pybytes())
    for uri, rows in ((f"{root}/m", [3, 2]), (f"{root}/m/*.parquet", [3, 2])):
        assert [source.rows for source in find_sources(uri)] == rows
    (source,) = find_sources(f"{root}/m/a.parquet")
    assert source.uri == f"{root}/m/a.parquet"


def test_csv_and_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"a, b"\n2,c\n')
    (tmp_path / "a.tsv").write_text("id\ttext\n1\ta b\n")
    tables = [find_sources(str(tmp_path / name))[0].table for name in ("a.csv", "a.tsv")]
    assert tables[0].to_pylist() == [{"id": "1", "text": "a, b"}, {"id": "2", "text": "c"}]
    assert tables[1].to_pylist() == [{"id": "1", "text": "a b"}]


@pytest.mark.parametrize("name", ["gone.parquet", "x.docx", "empty-folder", "no*match.wav"])
def test_inputs_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.docx").write_text("x")
    (tmp_path / "empty-folder").mkdir()
    with pytest.raises(UsageError, match=r"such|known|matches|no files"):
        find_sources(str(tmp_path / name))


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text(json.dumps({"no": 1}))
    with pytest.raises(UsageError, match="Parquet"):
        find_sources(str(tmp_path / "a.parquet"))


@pytest.mark.timeout(20)
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    for name in ("m.jsonl", "m.parquet"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UsageError, match="not a regular file"):
            find_sources(str(tmp_path / name))
    with pytest.raises(UsageError, match="not a regular file"):
        find_sources(str(tmp_path))


def test_a_name_that_looks_like_a_pattern(tmp_path: Path) -> None:
    for name in ("a[1].jsonl", "b[1].jsonl"):
        (tmp_path / name).write_text('{"text": "x"}')
    assert len(find_sources(str(tmp_path / "a[1].jsonl"))) == 1
    assert len(find_sources(str(tmp_path / "*.jsonl"))) == 2


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_glob_of_audio_has_paths_as_ids(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    for name in ("in/ä/x 1.wav", "in/b/x 1.wav", "in/b/c/x 1.wav", "in/b/x 1.txt"):
        Storage(root).put(name, wav_bytes(tone(0.1)))
    for pattern, ids in (
        ("in/*/*.wav", ["b/x 1.wav", "ä/x 1.wav"]),
        ("in/**/x*.wav", ["b/c/x 1.wav", "b/x 1.wav", "ä/x 1.wav"]),
        ("in/b/x*.wav", ["x 1.wav"]),
    ):
        plan = make_plan(f"{root}/{pattern}", get_task("tokenize"))
        loaded = [Loader(get_task("tokenize"), plan.schema)(u.to_table()) for u in plan.units]
        assert [table["id"][0].as_py() for table in loaded] == ids
        assert [table["input_samples"][0].as_py() for table in loaded] == [2400] * len(ids)


def test_hidden_files_of_a_folder_are_left_out(tmp_path: Path) -> None:
    for name in ("a.wav", "._a.wav", ".cache/b.wav", "sub/.trash/c.wav", "sub/d.e.wav"):
        Storage(str(tmp_path / ".mine")).put(name, b"x")
    (source,) = find_sources(str(tmp_path / ".mine"))
    assert source.table is not None
    assert source.table["id"].to_pylist() == ["a.wav", "sub/d.e.wav"]
    assert find_sources(str(tmp_path / ".mine/._a.wav"))[0].rows == 1  # named, it is meant


@pytest.mark.parametrize("kind", ["arrow", "splits", "parquet"])
def test_folders_of_the_datasets_library(kind: str, tmp_path: Path) -> None:
    rows = {
        "id": [f"r{n}" for n in range(5)],
        "audio": [{"bytes": wav_bytes(tone(0.1 * (n + 1))), "path": f"{n}.wav"} for n in range(5)],
        "text": list("abcde"),
    }
    saved = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio())
    if kind == "parquet":
        (tmp_path / "data").mkdir()
        for shard in range(2):
            name = f"data/train-{shard:05d}-of-00002.parquet"
            saved.shard(2, shard, contiguous=True).to_parquet(tmp_path / name)
    elif kind == "arrow":
        saved.save_to_disk(tmp_path, num_shards=2)
    else:
        split = {"train": saved.select(range(3)), "test": saved.select(range(3, 5))}
        datasets.DatasetDict(split).save_to_disk(tmp_path)
    plan = make_plan(str(tmp_path), get_task("asr"), unit_rows=2)
    assert (plan.rows, [unit.stop - unit.start for unit in plan.units]) == (5, [2, 1, 2])
    loaded = Loader(get_task("asr"), plan.schema)(plan.units[2].to_table())
    assert loaded["id"].to_pylist() == ["r3", "r4"]
    assert loaded["input_samples"].to_pylist() == [9600, 12000]
    assert loaded["input"][0].as_py()["audio"] == "3.wav"


def test_nemo_manifests(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    make_audio("clips/a.wav", 2.0)
    line = {"audio_filepath": "clips/a.wav", "offset": 0.5, "duration": 1.0, "text": "x"}
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(json.dumps(line).encode()))
    plan = make_plan(str(tmp_path / "m.jsonl.gz"), get_task("asr"))
    loaded = Loader(get_task("asr"), plan.schema)(plan.units[0].to_table())
    assert loaded["input_samples"].to_pylist() == [24_000]


@pytest.mark.parametrize("data", [b"not gzip", gzip.compress(b"x" * 99, mtime=0)[:-9]])
def test_a_damaged_gzip_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.jsonl.gz").write_bytes(data)
    with pytest.raises(UsageError, match="gzip"):
        find_sources(str(tmp_path / "m.jsonl.gz"))


def test_a_gzip_file_that_unpacks_to_too_much() -> None:
    packed = gzip.compress(b"x" * 100)

    def blocks(most: int) -> bytes:
        file = TextFile(lambda: nullcontext(io.BytesIO(packed)), most, "m.gz", packing=".gz")
        return b"".join(file.blocks())

    assert blocks(100) == b"x" * 100
    with pytest.raises(BadRow, match=r"m\.gz: unpacks to more than 99 bytes"):
        blocks(99)


def test_a_hub_that_limits_is_no_missing_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Limits(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(429)
            self.send_header("Retry-After", "30")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Limits)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(discovery, "_LOOK_S", 0.3)
    file_systems._filesystem.cache_clear()
    try:
        with pytest.raises(UsageError, match="its hub limits how often it is asked"):
            find_sources("hf://datasets/org/name/m.jsonl")
    finally:
        file_systems._filesystem.cache_clear()
        server.shutdown()
        server.server_close()


def test_an_input_without_its_content_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.csv").symlink_to(".git/annex/objects/x/y/MD5E-s1--z.csv/MD5E-s1--z.csv")
    with pytest.raises(UsageError, match="git annex get"):
        find_sources(str(tmp_path / "m.csv"))
