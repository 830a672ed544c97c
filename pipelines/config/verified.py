"""What a job asks of its results: a rule, and how often a row that breaks it is made again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from uniaudio2.frozen import Frozen
from uniaudio2.rules.rule import Rank, Rule, whole_name
from uniaudio2.scores.table import SCORERS


class VerifyConfig(Frozen):
    """What results are held against, see docs/verify.md.

    Attributes:
        rule: on columns of the results, such as `wer <= 0.1 and dnsmos_ovrl >= 2.8`; scorers that
            it names work without being asked for. None takes results as they come.
        attempts: most draws of a row; the first is the one of a job without a rule.
        best: of several draws, none of which passes, the one is kept for which this is largest,
            such as `-wer`; None keeps the one for which most conditions of the rule hold.
        unverified: what becomes of rows that never pass: `keep` leaves the best draw in `data`
            with `verified` false, `error` puts the row into `errors` as `unverified`.
    """

    rule: str | None = None
    attempts: int = Field(1, ge=1, le=100)
    best: str | None = None
    unverified: Literal["keep", "error"] = "keep"

    @field_validator("rule")
    @classmethod
    def _readable_rule(cls, value: str | None) -> str | None:
        if value is not None:
            Rule.of(value)
        return value

    @field_validator("best", mode="before")
    @classmethod
    def _readable_best(cls, value: Any) -> Any:
        if isinstance(value, str):
            Rank.of(value)
        return value

    @model_validator(mode="after")
    def _something_to_verify(self) -> VerifyConfig:
        if self.rule is None and (self.attempts > 1 or self.best is not None):
            raise ValueError(
                "attempts and best are of a rule, and there is none; give verify.rule, such as "
                "'wer <= 0.1'"
            )
        return self

    @property
    def names(self) -> list[str]:
        """The columns that rule and best name, as they do."""
        found = Rule.of(self.rule).names if self.rule is not None else []
        return [*found, *(Rank.of(self.best).names if self.best is not None else [])]

    @property
    def scorers(self) -> tuple[str, ...]:
        """The scorers of our table whose columns it names."""
        of = {column.name: name for name, one in SCORERS.items() for column in one.columns}
        asked = (whole_name(name, of) for name in self.names)
        return tuple(dict.fromkeys(of[name] for name in asked if name in of))
