"""What a report says of a rule, from the columns of results alone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipelines.report.verified import VerifyFacts, verification


def run(**verify: Any) -> dict[str, Any]:
    return {"config": {"verify": {"rule": "wer < 0.1", "attempts": 3, **verify}}}


def rows(*facts: tuple[int, bool, float | None]) -> pa.Table:
    attempts, passes, wer = zip(*facts, strict=True)
    return pa.table(
        {
            "attempts": pa.array(attempts, pa.int32()),
            "verified": pa.array(passes, pa.bool_()),
            "score_wer": pa.array(wer, pa.float64()),
        }
    )


def test_pass_rates_by_attempt_and_what_it_cost() -> None:
    facts = VerifyFacts.of(run(best="-wer"))
    assert facts is not None
    table = rows((1, True, 0.0), (1, True, 0.0), (2, True, 0.05), (3, False, 0.3), (3, False, 0.9))
    assert [place for _, place in facts.add(table)] == [4, 3]
    told = verification(facts, {"unverified": 1, "crash": 2}, None)
    assert told is not None
    assert told.lines == ((1, 6, 2), (2, 4, 1), (3, 3, 0))
    assert told.extra == 7
    assert told.rate == pytest.approx(0.5)


def test_rows_without_the_number_are_the_worst() -> None:
    facts = VerifyFacts.of(run(best="-wer"))
    assert facts is not None
    assert [place for _, place in facts.add(rows((3, False, 0.9), (3, False, None)))] == [1, 0]


@pytest.mark.parametrize(
    "config",
    [{}, {"verify": None}, {"verify": {"rule": None, "attempts": 1}}, {"verify": ["rule"]}],
)
def test_a_run_without_a_rule_has_nothing_to_tell(config: dict[str, Any]) -> None:
    assert VerifyFacts.of({"config": config}) is None
    assert verification(None, {}, None) is None


@pytest.mark.parametrize("best", ["-wer", "id", "(", 3, "wer * made_of_nothing"])
def test_foreign_columns_and_ranks_are_no_trouble(best: Any) -> None:
    facts = VerifyFacts.of(run(best=best))
    assert facts is not None
    assert facts.add(pa.table({"attempts": ["many"], "verified": [True]})) == []
    table = rows((3, False, 0.9)).drop_columns(["score_wer"]).append_column("id", [["a"]])
    assert [place for _, place in facts.add(table)] == [0]
