"""How rows fared under a job's rule: passed at which attempt, what that cost, the worst of them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from actors.batch.names import ATTEMPTS, UNVERIFIED, VERIFIED
from pipelines.report.stages import Timeline
from uniaudio2.rules.rule import Rank, whole_name
from uniaudio2.rules.words import BadRule

_MOST_ATTEMPTS = 100


@dataclass
class VerifyFacts:
    """What the rows that were read say of a rule.

    Attributes:
        rule: of the job.
        attempts: the most draws of a row.
        best: what draws are ranked by; None where the job says nothing, or what is none.
        passed: rows that pass, by how often they were made.
        failed: rows that do not.
    """

    rule: str
    attempts: int
    best: Rank | None = None
    passed: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)

    @staticmethod
    def of(run: Mapping[str, Any]) -> VerifyFacts | None:
        """Those of a run with a rule, from its record; None of another."""
        asked = run["config"].get("verify")
        rule, attempts, best = map((asked if isinstance(asked, dict) else {}).get, _ASKED)
        if not isinstance(rule, str) or not isinstance(attempts, int):
            return None
        try:
            rank = Rank.of(best) if isinstance(best, str) else None
        except BadRule:
            rank = None
        return VerifyFacts(rule, min(attempts, _MOST_ATTEMPTS), rank)

    @property
    def columns(self) -> list[str]:
        """Columns that it reads."""
        names = self.best.names if self.best else []
        return [ATTEMPTS, VERIFIED, *names, *(whole_name(name, ()) for name in names)]

    def add(self, table: pa.Table) -> list[tuple[float, int]]:
        """Take in rows; returns those that pass not, by a number that is lowest for the worst, each
        with its place."""
        kinds = {one.name: one.type for one in table.schema}
        if kinds.get(ATTEMPTS) != pa.int32() or kinds.get(VERIFIED) != pa.bool_():
            return []
        made = table.column(ATTEMPTS).to_pylist()
        worst = []
        ranks = self._ranks(table, kinds)
        for place, passes in enumerate(table.column(VERIFIED).to_pylist()):
            (self.passed if passes else self.failed)[made[place] or 0] += 1
            if passes is False:
                worst.append((ranks[place], place))
        return heapq.nsmallest(_SHOWN, worst)

    def _ranks(self, table: pa.Table, kinds: Mapping[str, pa.DataType]) -> list[float]:
        """What the rows are ranked by; 0 where that is not known."""
        if self.best is None:
            return [0.0] * table.num_rows
        names = {name: whole_name(name, table.column_names) for name in self.best.names}
        if not all(pa.types.is_floating(kinds.get(one, pa.null())) for one in names.values()):
            return [0.0] * table.num_rows
        values = {name: table.column(whole).to_pylist() for name, whole in names.items()}
        rows = ({name: own[n] for name, own in values.items()} for n in range(table.num_rows))
        return [_number(self.best, row) for row in rows]


_ASKED = ("rule", "attempts", "best")
_SHOWN = 12
_UNKNOWN = -1e300


def _number(best: Rank, row: Mapping[str, Any]) -> float:
    try:
        found = best.value(row)
    except (BadRule, TypeError, ArithmeticError):  # columns of those names, but of other values
        return 0.0
    return _UNKNOWN if found is None else found


@dataclass(frozen=True)
class Verification:
    """What a report says of a rule.

    Attributes:
        rule: of the job.
        rate: share of all rows that pass.
        lines: of each attempt: its number, rows that it was made of, and those that passed then.
        extra: draws beyond the first ones.
        extra_share: of all draws.
        score_s: seconds of work of the stage that scores.
        score_share: of all stages' work.
    """

    rule: str
    rate: float
    lines: tuple[tuple[int, int, int], ...]
    extra: int
    extra_share: float
    score_s: float
    score_share: float


def verification(
    facts: VerifyFacts | None, kinds: Mapping[str, int], timeline: Timeline | None
) -> Verification | None:
    """Sum up; None where there is nothing to tell.

    Args:
        facts: of the rows that were read.
        kinds: errors by kind.
        timeline: of the stages' work.
    """
    if facts is None or not (facts.passed or facts.failed or kinds.get(UNVERIFIED)):
        return None
    failed = facts.failed + Counter({facts.attempts: kinds.get(UNVERIFIED, 0)})
    made = facts.passed + failed
    most = min(max(made, default=0), _MOST_ATTEMPTS)
    lines = tuple(
        (n, sum(count for own, count in made.items() if own >= n), facts.passed[n])
        for n in range(1, most + 1)
    )
    draws, rows = sum(count for _, count, _ in lines), made.total()
    busy_s = {use.name: use.busy_s for use in timeline.stages} if timeline else {}
    score_s = busy_s.get("score", 0.0)
    return Verification(
        facts.rule, facts.passed.total() / rows, lines, draws - rows,
        (draws - rows) / draws if draws else 0.0,
        score_s, score_s / max(sum(busy_s.values()), 1e-9),
    )  # fmt: skip
