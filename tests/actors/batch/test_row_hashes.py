"""Hashes of rows are those of their JSON, however a column is turned into it."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from actors.batch.row_hashes import DIGEST_BYTES, row_digests, row_hashes
from actors.columnar.cells import canonical, shown_rows
from actors.columnar.value_bounds import MAX_VALUE_BYTES

DRAWS = random.Random(0)
TEXTS = ["plain", "", 'a "quoted" \\ word', "Größe", "𝄞", "tab\t", "\x00", "\x7f", None, "é" * 40]
COLUMNS = {
    "text": pa.array(TEXTS),
    "plain": pa.array([f"speaker-{row}" for row in range(9)] + [None]),
    "large": pa.array([*TEXTS[:5], *"abcde"], pa.large_string()),
    "whole": pa.array([0, -1, 2**63 - 1, -(2**63), None, 7, 8, 9, 10, 11]),
    "unsigned": pa.array([2**64 - 1, *range(9)], pa.uint64()),
    "small": pa.array([*range(9), None], pa.int8()),
    "float": pa.array([0.1, 1e16, 1e-7, *map(float, ("nan", "inf", "-inf")), -0.0, None, 1, 2]),
    "single": pa.array([0.1, 1e22, *range(8)], pa.float32()),
    "half": pa.array([0.5, None, *range(8)], pa.float16()),
    "bool": pa.array([True, False, None, *[True] * 7]),
    "null": pa.nulls(10),
    "bytes": pa.array([b"", b"\x00\xff", None, *[b"x"] * 7]),
    "list": pa.array([[1, None], [], None, *[[3]] * 7]),
    "struct": pa.array([{"b": 1, "a": [b"x"]}, None, *[{"b": None, "a": None}] * 8]),
    "map": pa.array([[("k", 1)], [], None, *[[("z", 2)]] * 7], pa.map_(pa.string(), pa.int8())),
    "date": pa.array([date(2026, 11, 28), None, *[date(1, 1, 1)] * 8]),
    "when": pa.array([None, *[datetime(2026, 1, day + 1, tzinfo=UTC) for day in range(9)]]),
    "decimal": pa.array([Decimal("1.50"), None, *[Decimal("2.00")] * 8]),
    "uuid": pa.array([UUID(int=row).bytes for row in range(10)], pa.uuid()),
    "words": pa.array(["a", "b", None, *"ababcab"]).dictionary_encode(),
    "broken": pa.array([b"a\xff"] * 10, pa.binary()).view(pa.string()),
    'odd "name"\n': pa.array(range(10)),
}  # fmt: skip


def _expected(table: pa.Table) -> list[str]:
    """What every build so far made of rows."""
    hashes = []
    for row in shown_rows(table):
        text = json.dumps(canonical(row), sort_keys=True, default=str)
        hashes.append(hashlib.blake2b(text.encode(), digest_size=10).hexdigest())
    return hashes


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_hashed_as_its_json(name: str) -> None:
    table = pa.table({name: COLUMNS[name]})
    assert row_hashes(table) == _expected(table)
    assert row_hashes(table.slice(3, 4)) == _expected(table)[3:7]


def test_rows_of_any_columns_are_hashed_as_their_json() -> None:
    for _ in range(20):
        names = DRAWS.sample(list(COLUMNS), DRAWS.randint(1, 6))
        whole = pa.table({name: COLUMNS[name] for name in names})
        table = pa.concat_tables([whole.slice(2), whole, whole.slice(0, 0), whole.slice(5, 1)])
        assert row_hashes(table) == _expected(table)


def test_rows_without_columns_and_tables_without_rows() -> None:
    nothing: dict[str, Any] = {"text": pa.array([], pa.string()), "n": pa.array([], pa.int64())}
    assert row_hashes(pa.table(nothing)) == []
    none = pa.table({"a": [1, 2]}).drop_columns(["a"])
    assert len(set(row_hashes(none))) == 1
    assert none.num_rows == 2


def test_a_value_that_is_too_large_hashes_as_if_it_were_there() -> None:
    large = b"x" * (MAX_VALUE_BYTES + 1)
    table = pa.table({"id": ["a", "b"], "audio": [large, b"small"]})
    assert row_hashes(table) == _expected(table)
    assert [len(digest) for digest in row_digests(table)] == [DIGEST_BYTES] * 2
