"""What a user may say of how an INPUT is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LinkPolicy = Literal["follow", "refuse"]
TextFormat = Literal["paths"]
Suffixes = Literal["known", "all"]
MadeIds = Literal["", "place", "content"]


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
