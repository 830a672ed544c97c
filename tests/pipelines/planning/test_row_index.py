"""What planning keeps of rows: keys as every build makes them, however they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.row_hashes import row_hashes
from actors.prefetch.spilled_hashes import SpilledHashes
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.planning.keys import indexed_rows
from pipelines.planning.keys.row_keys import row_key
from pipelines.planning.plan import make_plan
from pipelines.planning.row_index import index_rows
from uniaudio2.tasks.table import get_task

ROWS = 9000  # more than are read at once


def manifest(folder: Path) -> str:
    path = folder / "m.parquet"
    table = pa.table({
        "id": [f"recordings/{row}.flac" for row in range(ROWS)],
        "text": [f'"{row}" ä' if row % 7 else None for row in range(ROWS)],
        "duration": [row / 8 for row in range(ROWS)],
        "speaker": list(range(ROWS)),
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=5000)
    return str(path)


def test_units_are_those_of_earlier_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys and fingerprints that committed OUTPUTs hold of this manifest."""
    manifest(tmp_path)
    monkeypatch.chdir(tmp_path)
    digest = hashlib.sha256()
    plan = make_plan("m.parquet", get_task("tts"), unit_rows=125)
    for unit in plan.units:
        digest.update(unit.keys + unit.fingerprint.encode())
    assert [unit.stop for unit in plan.units] == list(range(125, ROWS + 1, 125))
    assert digest.hexdigest() == "8beef971a524f33bdc7fd44f551d6e51245b2795820bdfb4b6ad145a4d4a7b42"


def test_rows_are_kept_by_key_and_by_hash(tmp_path: Path) -> None:
    uri = manifest(tmp_path)
    (source,) = find_sources(uri)
    batches = list(index_rows(source, ROWS))
    table = pq.read_table(uri)
    hashes, names = row_hashes(table), table["id"].to_pylist()
    keys = b"".join(map(row_key, names, hashes))
    assert b"".join(batch.keys.tobytes() for batch in batches) == keys
    assert b"".join(batch.former for batch in batches).hex() == "".join(hashes)
    assert np.concatenate([batch.seconds for batch in batches]).tolist() == [
        row / 8 for row in range(ROWS)
    ]


def test_rows_brought_together_are_what_they_were(tmp_path: Path) -> None:
    (source,) = find_sources(manifest(tmp_path))
    first, second, *_ = index_rows(source, ROWS)
    both = first.slice(10, len(first)).before(second.slice(0, 7))
    keys = first.keys.tobytes()[200:] + second.keys.tobytes()[:140]
    assert (len(both), both.keys.tobytes()) == (len(first) - 3, keys)
    assert both.former == first.former[100:] + second.former[:70]


def test_a_row_without_an_id_is_named_by_its_place(tmp_path: Path) -> None:
    ids = [str(row) if row != 8200 else None for row in range(ROWS)]
    pq.write_table(pa.table({"id": ids, "text": ids}), tmp_path / "m.parquet", row_group_size=5000)
    (source,) = find_sources(str(tmp_path / "m.parquet"))
    with pytest.raises(UsageError, match="row 8200 has no id"):
        list(index_rows(source, ROWS))


def test_ids_that_repeat_are_found_where_memory_holds_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexed_rows, "SpilledHashes", lambda: SpilledHashes(10))
    for number in range(3):
        ids = [f"{number}-{row}" if row else "0" for row in range(50)]
        texts = [f"{number} {row}" for row in range(50)]
        pq.write_table(pa.table({"id": ids, "text": texts}), tmp_path / f"{number}.parquet")
    with pytest.raises(UsageError, match=r"1 ids occur in several files, such as '0'"):
        make_plan(str(tmp_path), get_task("tts"))
    ids = [f"a{row // 2}/ch0" if row % 2 else f"a{row // 2}" for row in range(50)]
    for path in tmp_path.glob("*.parquet"):
        path.unlink()
    pq.write_table(pa.table({"id": ids, "text": ids}), tmp_path / "m.parquet")
    assert make_plan(str(tmp_path), get_task("tts")).has_channel_ids
