"""Damaged manifests: refused as a whole in one line, or every row of them comes out of loading.

The same damages are tried every time; thousands of others were, of each format, when this was
written.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from actors.batch.unit import to_stream
from actors.stages.load import Loader
from pipelines.errors import UsageError
from pipelines.planning.plan import make_plan, passthrough_schema
from tests.support.damage import damaged
from uniaudio2.tasks.table import get_task

ROWS = [{"id": f"row-{n}", "text": f"line {n}", "speaker": f"s{n % 3}"} for n in range(40)]


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=10)
    return sink.getvalue()


def _delimited(sign: str) -> bytes:
    lines = [sign.join(ROWS[0]), *(sign.join(row.values()) for row in ROWS)]
    return "\n".join(lines).encode()


def _jsonl() -> bytes:
    return "\n".join(map(json.dumps, ROWS)).encode()


def _tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for row in ROWS[:8]:
            for suffix, data in (("txt", row["text"]), ("json", json.dumps(row))):
                member = tarfile.TarInfo(f"{row['id']}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data.encode()))
    return sink.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "parquet": _parquet,
    "jsonl": _jsonl,
    "jsonl.gz": lambda: gzip.compress(_jsonl()),
    "csv": lambda: _delimited(","),
    "tsv": lambda: _delimited("\t"),
    "txt": lambda: "\n".join(row["text"] for row in ROWS).encode(),
    "arrow": lambda: to_stream(pa.Table.from_pylist(ROWS)),
    "tar": _tar,
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_manifest_is_refused_or_every_row_comes_out(
    suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damage") / f"rows.{suffix}"
    task, good = get_task("tts"), FORMATS[suffix]()

    def load(data: bytes) -> int:
        path.write_bytes(data)
        plan = make_plan(str(path), task)
        loader = Loader(task, passthrough_schema(plan.schema))
        loaded = pa.concat_tables([loader(unit.to_table()) for unit in plan.units])
        assert loaded.num_rows == plan.rows
        messages = zip(loaded["error_kind"], loaded["error_message"], strict=True)
        assert all(kind.is_valid == said.is_valid for kind, said in messages)
        return plan.rows

    @given(damaged(good))
    @settings(deadline=None, max_examples=60, derandomize=True)
    def check(data: bytes) -> None:
        try:
            load(data)
        except UsageError as fault:
            assert len(str(fault)) > 20

    assert load(good) == (8 if suffix == "tar" else len(ROWS))
    check()
