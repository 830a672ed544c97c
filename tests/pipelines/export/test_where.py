"""Rows are chosen by a condition in SQL, which sees columns and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from pipelines.errors import UsageError
from pipelines.export.export import export_run
from pipelines.export.where import Where
from tests.conftest import tone
from tests.pipelines.committed import make_output

TABLE = pa.table({
    "id": ["a", "b", "c", "d"],
    "score_wer": pa.array([0.05, None, 0.2, float("nan")], pa.float64()),
    "text": ["it's", "", None, "7"],
    "reason_codes": pa.array([[[1, 2]], [], None, [[3, 4]]], pa.list_(pa.list_(pa.uint16(), 2))),
})  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("score_wer < 0.1", "a"),
        ("score_wer >= 0.1", "c"),  # NaN is not the greatest value
        ("not score_wer < 0.1", "c"),
        ("score_wer is null", "bd"),
        ("SCORE_WER < 1 and text = 'it''s'", "a"),
        ("len(reason_codes) > 0", "ad"),
        ("try_cast(text as integer) = 7", "d"),
        ("true", "abcd"),
    ],
)
def test_rows_for_which_it_is_true_are_taken(condition: str, wanted: str) -> None:
    mask = Where(condition, TABLE.schema).mask(TABLE)
    assert TABLE["id"].filter(pa.array(mask)).to_pylist() == list(wanted)


def test_parts_may_lack_a_column() -> None:
    where = Where("score_wer is null or id = 'c'", TABLE.schema)
    assert where.mask(TABLE.drop_columns(["score_wer"])).all()


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("score_wr < 1", r'Referenced column "score_wr" not found.*did you mean .score_wer.\?$'),
        ("score_wer <", "Parser Error"),
        ("score_wer", "is a value of type DOUBLE; give what is true or false"),
        ("max(score_wer) < 1", "aggregates"),
        ("true; select 1", "Parser Error"),
        ("id in (select id from 'others.parquet')", "disabled by configuration"),
        ("id in (select content from read_text('notes.txt'))", "disabled by configuration"),
    ],
)
def test_what_is_no_condition_is_told_before_anything_is_written(condition: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Where(condition, TABLE.schema)


def test_a_value_that_does_not_fit_is_told_without_it() -> None:
    where = Where("text::integer > 0", TABLE.schema)
    with pytest.raises(UsageError, match=r"cannot be computed for some row.*try_cast") as raised:
        where.mask(TABLE)
    assert "it's" not in str(raised.value)


def test_an_export_of_some_rows(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{number}", "text": "t", "audio": f"{number}.wav", "score": number / 4}
        for number in range(5)
    ]
    waves = [torch.from_numpy(tone(0.1, hz=300.0))] * 5
    out = make_output(str(tmp_path / "out"), "tts", rows, waves)
    target = tmp_path / "lines"
    result = export_run(out, str(target), "jsonl", where="score between 0.25 and 0.5")
    assert (result.rows, result.left_out) == (2, 3)
    lines = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["r1", "r2"]
    facts = json.loads((target / "export.json").read_text())
    assert (facts["where"], facts["left_out"]) == ("score between 0.25 and 0.5", 3)
    with pytest.raises(UsageError, match="did you mean 'score'"):
        export_run(out, str(tmp_path / "other"), "jsonl", where="scor > 1")
    assert not (tmp_path / "other").exists()
