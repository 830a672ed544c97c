"""What becomes of a unit's rows under a rule, told by tables that are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.batch.error_rows import errors_table
from actors.batch.names import ATTEMPT, ERROR_KIND, ID, SCORE_REASONS
from actors.batch.schema import REASONS_TYPE
from actors.batch.table import alive, attempt_column, mark_errors, set_column, start_table
from actors.storage.object_store import Storage
from actors.verify.attempt_file import attempts_made, read_waiting
from actors.verify.sifting import NOTHING, VERIFY_FIELDS, Sifted, Sifter, Unverified, Verifying
from uniaudio2.errors import BadRow
from uniaudio2.seeds import attempt_seed, row_seed

REASON = [{"score": "score_wer", "reason": "no text"}]
Scores = Mapping[str, float | BadRow | None]


def key(name: str) -> bytes:
    return name.encode().ljust(20, b".")


class Unit:
    """Rows `a`, `b` … that are made with given scores, attempt after attempt."""

    def __init__(
        self,
        output: Path,
        attempts: int = 3,
        best: str | None = None,
        unverified: Unverified = "keep",
    ) -> None:
        self.storage = Storage(str(output))
        asked = Verifying("wer <= 0.1 and seconds > 0", attempts, best, unverified)
        self.sifter = Sifter(self.storage, asked, 7)
        self.attempt, self.earlier = 0, ""

    def make(self, scores: Scores, unit: int = 0) -> Sifted:
        """The next attempt of rows."""
        names = list(scores)
        inputs = pa.array([{"text": name} for name in names], pa.struct([("text", pa.string())]))
        table = start_table(names, inputs, unit)
        facts = [(self.attempt, key(name), self.earlier) for name in names]
        table = set_column(table, ATTEMPT, attempt_column(facts))
        bad = {n: one for n, one in enumerate(scores.values()) if isinstance(one, BadRow)}
        table = mark_errors(table, "generate", bad)
        good = alive(table)
        rows = [names[n] for n in good]
        results = pa.table(
            {
                ID: rows,
                "score_wer": pa.array([scores[name] for name in rows], pa.float64()),
                "seconds": pa.array([1.0] * len(rows), pa.float64()),
                "made_by": pa.array([self.attempt] * len(rows), pa.int64()),
                SCORE_REASONS: pa.array([REASON if scores[n] is None else None for n in rows],
                                        REASONS_TYPE),
                **{one.name: pa.nulls(len(rows), one.type) for one in VERIFY_FIELDS},
            }
        )  # fmt: skip
        lost = [n for n in range(table.num_rows) if table.column(ERROR_KIND)[n].is_valid]
        sounds: dict[str, Sequence[bytes]] = {n: [f"{n}{self.attempt}".encode()] for n in rows}
        sifted = self.sifter(table, results, errors_table(table, lost), sounds)
        self.attempt, self.earlier = self.attempt + 1, sifted.attempts
        return sifted


def rows_of(sifted: Sifted) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in sifted.results.to_pylist()}


def test_rows_that_pass_are_done_and_others_wait(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    sifted = unit.make({"a": 0.0, "b": 0.5, "c": None})
    assert rows_of(sifted).keys() == {"a"}
    assert set(sifted.again) == {key("b").hex(), key("c").hex()}
    assert dict(attempts_made(unit.storage)) == {sifted.attempts: {key("b"): 1, key("c"): 1}}
    waiting, results = read_waiting(unit.storage, sifted.attempts)
    assert [list(row.sounds) for row in waiting] == [[b"b0"], [b"c0"]]
    assert results.column("score_wer").to_pylist() == [0.5, None]
    told = [row.failed[0]["reason"] for row in waiting]
    assert told == ["wer <= 0.1: wer is 0.5", "wer <= 0.1: wer is null (no text)"]


def test_of_attempts_that_fail_the_best_is_kept_with_its_sound(tmp_path: Path) -> None:
    unit = Unit(tmp_path, best="-wer")
    unit.make({"a": 0.5, "b": 0.3, "c": None})
    unit.make({"b": 0.3, "a": 0.2, "c": 0.9})
    sifted = unit.make({"a": 0.4, "b": 0.9, "c": 0.0})
    rows = rows_of(sifted)
    assert sifted.again == ()
    assert {name: (row["made_by"], row["verified"]) for name, row in rows.items()} == {
        "a": (1, False), "b": (0, False), "c": (2, True),
    }  # fmt: skip
    assert sifted.sounds == {"a": [b"a1"], "b": [b"b0"], "c": [b"c2"]}
    assert [one["rank"] for one in rows["a"]["failed_attempts"]] == [-0.5, -0.2, -0.4]
    assert [one["attempt"] for one in rows["c"]["failed_attempts"]] == [0, 1]
    assert rows["a"]["verify_reason"] == "wer <= 0.1: wer is 0.2"
    seeds = [row_seed(attempt_seed(7, n), "a") for n in range(3)]
    assert [one["seed"] for one in rows["a"]["failed_attempts"]] == seeds
    assert {row["attempts"] for row in rows.values()} == {3}


def test_a_draw_that_came_to_nothing_is_an_attempt(tmp_path: Path) -> None:
    unit = Unit(tmp_path, attempts=2)
    nothing, gone = BadRow(NOTHING, "0 sounds"), BadRow("missing_file", "gone")
    sifted = unit.make({"a": nothing, "b": nothing, "c": gone, "d": 0.9})
    assert sifted.errors["id"].to_pylist() == ["c"]  # another draw would not find it either
    assert len(sifted.again) == 3
    sifted = unit.make({"a": 0.0, "b": nothing, "d": nothing})
    rows = rows_of(sifted)
    assert rows["a"]["failed_attempts"][0]["reason"] == f"{NOTHING}: 0 sounds"
    assert (rows["d"]["verified"], rows["d"]["made_by"]) == (False, 0)
    assert sifted.errors.select(["id", "kind", "attempts"]).to_pylist() == [
        {"id": "b", "kind": NOTHING, "attempts": 2}
    ]


def test_rows_that_never_pass_may_be_errors(tmp_path: Path) -> None:
    unit = Unit(tmp_path, attempts=1, unverified="error")
    sifted = unit.make({"a": 0.9, "b": 0.0})
    assert rows_of(sifted).keys() == {"b"}
    (row,) = sifted.errors.to_pylist()
    assert (row["id"], row["stage"], row["kind"], row["attempts"]) == (
        "a", "verify", "unverified", 1,
    )  # fmt: skip
    assert row["input"] == '{"text": "a"}'


def test_without_a_rank_most_conditions_decide_then_the_first(tmp_path: Path) -> None:
    unit = Unit(tmp_path, attempts=3)
    for scores in ({"a": 0.9}, {"a": 0.2}):
        unit.make(scores)
    assert rows_of(unit.make({"a": 0.3}))["a"]["made_by"] == 0


def test_what_an_earlier_attempt_left_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    sifted = unit.make({"a": 0.9})
    path = tmp_path / sifted.attempts
    path.write_bytes(path.read_bytes()[:-8])
    assert list(attempts_made(unit.storage)) == []
    with pytest.raises(OSError, match="is not what was written"):
        unit.make({"a": 0.9})


def test_another_builds_columns_are_no_candidates(tmp_path: Path) -> None:
    """A row whose earlier result has other columns keeps count of it, and takes a new one."""
    unit = Unit(tmp_path, attempts=2, best="-wer")
    unit.make({"a": 0.2})
    unit.sifter.storage = Storage(str(tmp_path))
    rows, results = read_waiting(unit.storage, unit.earlier)
    from actors.verify.attempt_file import write_waiting

    unit.earlier = write_waiting(unit.storage, 0, rows, results.drop_columns(["made_by"]))
    row = rows_of(unit.make({"a": 0.9}))["a"]
    assert (row["made_by"], len(row["failed_attempts"])) == (1, 2)
