"""What a user may say of how an INPUT is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LinkPolicy = Literal["follow", "refuse"]
TextFormat = Literal["paths"]
Suffixes = Literal["known", "all"]
MadeIds = Literal["", "place", "content"]


@dataclass(frozen=True)
class IdsBefore:
    """How the rows of an OUTPUT that was begun got their ids; no later run may give others.

    Attributes:
        former: lines of text as in format 1, when the number of their line was part of them.
        settled: samples of tars by their keys, before all tars were known: where a key occurs
            again, the later tar's name is part of its ids alone.
    """

    former: bool = False
    settled: bool = False


NEW_IDS = IdsBefore()
"""Of an OUTPUT that has no rows yet."""


@dataclass(frozen=True)
class Dialect:
    """How tables of text are written, as far as it is given; None is found.

    Attributes:
        delimiter: one character between cells.
        header: the first line names the columns, or does not, or the names themselves.
        quote: the character that encloses cells, "" where quotes are text.
        encoding: of the text.
    """

    delimiter: str | None = None
    header: bool | tuple[str, ...] | None = None
    quote: str | None = None
    encoding: str | None = None
