"""Commit records are checked before they are believed, and no message holds their bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from actors.batch.receipt import Receipt
from actors.batch.stage_times import StageTime
from pipelines.errors import RunFailed
from pipelines.run_state.commit_record import FORMAT_VERSION, Commit, merge_receipts

PLACE = "00000003-aaaaaaaa"
CALL = StageTime("load", "w", 1.0, 0.5, 2)
CALL_FACTS = asdict(CALL)
FACTS: dict[str, Any] = json.loads(
    merge_receipts(
        3,
        "f",
        [
            Receipt(
                3,
                ok=2,
                errors=1,
                files={f"audio/{PLACE}/a-1.flac": [1, "x"]},
                kinds={"too_long": 1},
                data=(f"data/part-{PLACE}.parquet",),
                error_parts=(f"errors/part-{PLACE}.parquet",),
                audio=f"audio/{PLACE}",
                input_s=1.5,
                output_s=0.5,
                stages=(CALL,),
            )
        ],
    ).to_bytes()
)  # fmt: skip


def read(facts: Any, path: str = "") -> Commit:
    return Commit.from_bytes(json.dumps(facts).encode(), path)


def test_a_record_of_ours_is_read() -> None:
    assert read(FACTS).data == (f"data/part-{PLACE}.parquet",)
    assert read(FACTS, "_log/units/00000003.json") == read(FACTS)


OUTSIDE = [
    "../x.parquet", "/etc/passwd", "data/../../x.parquet", "data/part-1.parquet",
    f"data/part-{PLACE}.parquet/../../../x", f"errors/../data/part-{PLACE}.parquet",
    f"data/part-{PLACE}.parquet\n", f"data/part-{chr(0x660) * 8}-{'a' * 8}.parquet", "run.json",
    "s3://bucket/x.parquet", "", "\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("field", ["data", "error_parts", "audio", "files"])
def test_names_that_no_run_gives_are_refused(field: str, path: str) -> None:
    value: Any = {path: [1, "x"]} if field == "files" else [path]
    with pytest.raises(RunFailed, match=f"{field} names what no run writes"):
        read({**FACTS, field: value})


@pytest.mark.parametrize(
    "change",
    [
        {"ok": -1}, {"errors": -5}, {"kinds": {"x": -1}}, {"ok": 10**30}, {"unit": -3},
        {"input_s": float("nan")}, {"output_s": float("inf")}, {"input_s": -1.0},
        {"stages": [{**CALL_FACTS, "begin": float("nan")}]},
        {"stages": [{**CALL_FACTS, "busy_s": 1e300}]},
        {"stages": [{**CALL_FACTS, "stage": "\x1b]0;x\x07"}]}, {"kinds": {"\x1b[2J": 1}},
        {"files": {f"data/part-{PLACE}.parquet": ["a", 1]}}, {"unit": 4}, {"generation": 1},
        {"files": {f"data/part-{PLACE}.parquet": [1]}},
    ],
)  # fmt: skip
def test_values_that_no_run_writes_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RunFailed, match="not a commit record") as refused:
        read({**FACTS, **change}, "_log/units/00000003.json")
    assert str(refused.value).isprintable()


def test_no_message_holds_bytes_of_a_file() -> None:
    for data in (b"the secret line", b'{"unit": "the secret line"}', b"[" * 100_000):
        with pytest.raises(RunFailed, match="not a commit record") as refused:
            Commit.from_bytes(data, "_log/units/00000000.json")
        assert "secret" not in str(refused.value)
        assert "[[[" not in str(refused.value)


@pytest.mark.parametrize("shape", ["today's", "another"])
def test_a_record_of_a_newer_build_is_refused_and_says_so(shape: str) -> None:
    facts = {"unit": 0, "units": []}
    if shape == "today's":
        facts = json.loads(merge_receipts(0, "f", [Receipt(0, 0, 0, {}, {})]).to_bytes())
        assert facts["format_version"] == FORMAT_VERSION
    data = json.dumps({**facts, "format_version": 4}).encode()
    with pytest.raises(RunFailed, match="written by a newer build, in format 4"):
        Commit.from_bytes(data, "_log/units/00000000.json")


def test_seals_of_earlier_builds_hold() -> None:
    """What a record of theirs lacks is no part of what its seal covers, while there is none."""
    record = merge_receipts(1, "f", [Receipt(1, 2, 0, {}, {})])
    assert "added_rows" not in record.sealed_facts
    assert replace(record, added_rows=1).sealed_facts["added_rows"] == 1
    facts = json.loads(record.to_bytes())
    del facts["added_rows"]
    assert Commit.from_bytes(json.dumps(facts).encode()) == record
