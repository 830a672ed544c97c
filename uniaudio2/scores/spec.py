"""A scorer as data: what it hears or reads, the columns that it fills, what it needs and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from uniaudio2.shown import MESSAGE_CHARACTERS, shown

if TYPE_CHECKING:  # settings name scorers before torch is there
    from uniaudio2.rules.rule import Rank
    from uniaudio2.scores.heard import Heard

PREFIX = "score_"
TRANSCRIPTION = "asr"
"""The task by which the model hears words, with its instruction and the model's own sampling."""
Input = Literal["sound", "text", "transcript", "any text", "reference", "tokens"]


class Absent(Exception):
    """A score that a row does not have, and why in a few words.

    Raised by a scorer it is the reason of all its columns; in the place of a number, of that one.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = shown(reason, MESSAGE_CHARACTERS)


Scores = Mapping[str, float | Absent]
Score = Callable[["Heard"], Scores]


@dataclass(frozen=True)
class ScoreColumn:
    """One number of a scorer.

    Attributes:
        name: of the column, beginning with ``score_``.
        unit: of its values.
        meaning: what it says.
    """

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Scorer:
    """A row of the table of scorers.

    Attributes:
        name: as settings name it.
        summary: what it judges, in a line.
        inputs: what a row must have: its sound, its own text, the transcript of what a model hears,
            any of these two, a recording of the voice that should be heard, or tokens that were
            drawn for it.
        columns: what it fills.
        version: of the rule, raised when figures change; weights add their package's version.
        licence: of code and weights.
        cost: of a second of sound on one CPU thread, in words.
        make: builds it; called once a process, where it works.
        packages: those that it cannot do without.
        weights: the one of them whose files decide its figures.
        row: of a file that it is, as JSON, see `uniaudio2.scores.own`; "" for all others.
        needs: scorers whose figures it is made of.
        value: what it makes of them.
    """

    name: str
    summary: str
    inputs: tuple[Input, ...]
    columns: tuple[ScoreColumn, ...]
    version: str
    licence: str
    cost: str
    make: Callable[[], Score] = field(compare=False)
    packages: tuple[str, ...] = ()
    weights: str | None = None
    row: str = ""
    needs: tuple[str, ...] = ()
    value: Rank | None = None

    @property
    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.packages if installed(name) is None]

    @property
    def identity(self) -> str:
        """What its figures depend on: its rule, and the version of its weights."""
        weights = f", {self.weights} {installed(self.weights)}" if self.weights else ""
        value = f": {self.value.text}" if self.value else ""
        return f"{self.name} {self.version}{weights}{value}"

    @property
    def asked(self) -> str:
        """What stands for it in settings: its name, or its row."""
        return self.row or self.name


def installed(package: str) -> str | None:
    """Version of a package; None where it is not installed. It is not imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
