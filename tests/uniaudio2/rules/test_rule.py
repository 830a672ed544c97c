"""Rules mean what DuckDB makes of the same words, and why a row breaks one is told."""

from __future__ import annotations

import string
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.export.where import Where
from uniaudio2.rules.rule import Rank, Rule
from uniaudio2.rules.terms import ValueKind
from uniaudio2.rules.words import BadRule

COLUMNS: dict[str, ValueKind] = {
    "score_wer": "number", "duration_s": "number", "count": "number", "text": "text",
    "is_new": "truth", "spans": "other",
}  # fmt: skip
SCHEMA = pa.schema(
    [
        ("score_wer", pa.float64()), ("duration_s", pa.float64()), ("count", pa.int64()),
        ("text", pa.string()), ("is_new", pa.bool_()),
    ]
)  # fmt: skip

numbers = st.sampled_from(["wer", "duration_s", "count", "0", "1", "2.5", ".5", "-1", "1e-1"])
sums = st.recursive(
    numbers,
    lambda one: (
        st.builds(lambda a, sign, b: f"({a} {sign} {b})", one, st.sampled_from("+-*"), one)
        | st.builds(lambda a: f"-({a})", one)
    ),
    max_leaves=3,
)
texts = st.sampled_from(["text", "'stop'", "'it''s'", "''"])
signs = st.sampled_from(["<", "<=", ">", ">=", "=", "==", "<>", "!="])


def compared(of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.builds("{} {} {}".format, of, signs, of)
        | st.builds("{} between {} and {}".format, of, of, of)
        | st.builds("{} NOT BETWEEN {} and {}".format, of, of, of)
        | st.builds("{} in ({}, {})".format, of, of, of)
        | st.builds("{} not in ({})".format, of, of)
        | st.builds("{} is null".format, of)
        | st.builds("{} Is Not Null".format, of)
    )


rules = st.recursive(
    compared(sums) | compared(texts) | st.just("is_new") | st.just("true"),
    lambda one: (
        st.builds("{} and {}".format, one, one)
        | st.builds("{} or {}".format, one, one)
        | st.builds("not {}".format, one)
        | st.builds("({})".format, one)
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {
        "score_wer": st.none() | st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.8, float("nan")]),
        "duration_s": st.none() | st.sampled_from([0.0, 1.0, 2.5, -1.0]),
        "count": st.none() | st.integers(-3, 3),
        "text": st.none() | st.sampled_from(["stop", "it's", "", "length", "ü"]),
        "is_new": st.none() | st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(rules, st.lists(rows, min_size=1, max_size=4))
def test_a_rule_means_what_the_same_condition_of_an_export_means(
    text: str, some: list[dict[str, Any]]
) -> None:
    rule = Rule.of(text)
    rule.check(COLUMNS)
    ours = [rule.verdict(row, {}).holds for row in some]
    table = pa.Table.from_pylist(some, SCHEMA)
    assert ours == Where(text, SCHEMA).mask(table).tolist()


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60)
    | st.text("'\"()<>=,.+-* andortibeweul0123456789" + string.ascii_lowercase, max_size=60)
)
def test_whatever_is_written_is_a_rule_or_refused_in_a_line(text: str) -> None:
    """One that is taken computes; nothing else comes out of a stranger's settings."""
    try:
        rule = Rule.of(text)
        rule.check(COLUMNS)
    except BadRule as fault:
        assert "\n" not in str(fault)
        return
    rule.verdict(dict.fromkeys(COLUMNS), {})


@given(sums, rows)
def test_a_rank_is_a_number_or_none(text: str, row: dict[str, Any]) -> None:
    rank = Rank.of(text)
    rank.check(COLUMNS)
    found = rank.value(row)
    assert found is None or isinstance(found, float)


def test_why_a_row_breaks_a_rule_is_told() -> None:
    rule = Rule.of("wer <= 0.1 and finish_reason = 'stop' and (duration_s > 1 or count > 0)")
    row = {"score_wer": 0.25, "finish_reason": "length", "duration_s": 0.5, "count": 0}
    verdict = rule.verdict(row, {})
    assert not verdict.holds
    assert verdict.held == 0
    assert verdict.reason == (
        "wer <= 0.1: wer is 0.25; finish_reason = 'stop': finish_reason is 'length'; "
        "(duration_s > 1 or count > 0): duration_s is 0.5, count is 0"
    )
    assert rule.verdict({**row, "score_wer": 0.1, "finish_reason": "stop", "count": 1}, {}).holds


def test_of_a_score_that_is_null_the_reason_is_told() -> None:
    rule = Rule.of("wer <= 0.1 and not duration_s > 9")
    row = {"score_wer": None, "duration_s": 2.0}
    verdict = rule.verdict(row, {"score_wer": "the text has no words"})
    assert verdict.reason == "wer <= 0.1: wer is null (the text has no words)"
    assert verdict.held == 1
    assert not Rule.of("not wer > 0.1").verdict(row, {}).holds  # nothing is known of it


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wre <= 0.1", "did you mean 'wer'"),
        ("score_were < 1", "did you mean 'score_wer'"),
        ("wer", "is a number; give what is true or false"),
        ("wer = 'stop'", "a number and a text are compared"),
        ("wer = spans", "holds no number"),
        ("wer or is_new", "'or' joins what is true or false"),
        ("not text", "'not' joins"),
        ("text + 1 > 2", "'+' joins numbers"),
        ("wer <= ", "its end where a column or a value is needed"),
        ("wer < 1 and", "its end where"),
        ("(wer < 1", "its end where ')' is needed"),
        ("wer < 1 2", "'2' is not expected there"),
        ("wer < 1; drop table x", "is no part of a rule"),
        ("read_text('/etc/passwd') = ''", "rules call no functions"),
        ("wer is 3", "'3' where 'null' is needed"),
        ("wer not < 3", "behind 'not'"),
        ("", "its end where a column"),
        ("-" * 100 + "1 > 0", "more than 40 parts"),
        ("(" * 100 + "wer > 0" + ")" * 100, "more than 40 parts"),
        ("wer > " + "1" * 3000, "2000 are the most"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadRule, match=r".") as raised:
        Rule.of(text).check(COLUMNS)
    assert told in str(raised.value)


def test_a_rank_of_no_number_is_refused() -> None:
    with pytest.raises(BadRule, match="rows are ranked by numbers"):
        Rank.of("text").check(COLUMNS)
    with pytest.raises(BadRule, match="did you mean 'wer'"):
        Rank.of("-wre").check(COLUMNS)


def test_names_in_quotes_are_columns() -> None:
    rule = Rule.of('"my column" > 2')
    rule.check({"my column": "number"})
    assert rule.verdict({"my column": 3}, {}).holds
    table = pa.table({"my column": [3, 1]})
    assert duckdb.from_arrow(table).filter(rule.text).fetchall() == [(3,)]
