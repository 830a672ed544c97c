"""Rows of a table with delimiters as cells, one at a time: no line is ever lost in another.

A quote that nobody closes makes readers take the following lines for a part of one cell. Here the
lines of a row are counted: a cell that spans several must be enclosed exactly, and lines that are
rows by themselves stay rows.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipelines.manifest.tables.text_lines import LongLine

MAX_CELLS_CHARACTERS = 16 << 20
_SURE_CELLS = 4
_EXAMPLES = 3
_WORD, _NUMBER = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")


class QuotesAreTextError(Exception):
    """Quotes of a table do not enclose its cells."""


class _LongRowError(Exception):
    """The lines of one row are too many to keep."""


@dataclass
class LineCount:
    """Lines of one kind: how many, and the numbers of the first."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, number: int) -> None:
        """Count a line."""
        self.count += 1
        if len(self.first) < _EXAMPLES:
            self.first.append(number)

    def __str__(self) -> str:
        return f"{self.count} (line {', '.join(map(str, self.first))}{self._more})"

    @property
    def _more(self) -> str:
        return ", ..." if self.count > len(self.first) else ""


@dataclass
class Met:
    """What a reader met.

    Attributes:
        spanning: rows of several lines, by their last line.
        unclosed: lines that are read as if quotes were text.
        loose: lines with text behind a closing quote.
    """

    spanning: LineCount = field(default_factory=LineCount)
    unclosed: LineCount = field(default_factory=LineCount)
    loose: LineCount = field(default_factory=LineCount)


class RowReader:
    """Reads the rows of a table.

    Args:
        lines: of the file.
        delimiter: one character between cells.
        quote: one character that encloses cells; "" where quotes are text.
        is_given: the quote was given, so that lines which are rows by themselves may be in a cell.
        is_strict: quotes that do not enclose cells mean that all quotes are text.

    Attributes:
        number: lines read so far.
        met: what was met so far.
    """

    def __init__(
        self,
        lines: Iterator[str | LongLine],
        delimiter: str,
        quote: str,
        is_given: bool = False,
        is_strict: bool = False,
    ) -> None:
        self.number = 0
        self.met = Met()
        self._lines = lines
        self._again: deque[str | LongLine] = deque()
        self._delimiter, self._quote = delimiter, quote
        self._is_given, self._is_strict = is_given, is_strict

    def skip(self, lines: int) -> None:
        """Leave out lines."""
        for _ in range(lines):
            self._next()

    def next_row(self, width: int = 0) -> list[str] | str | None:
        """The cells of the next row that is not empty; what is wrong with it; or None at the end.

        Args:
            width: how many cells a row has; 0 while that is not known.

        Raises:
            QuotesAreTextError: see `is_strict`.
        """
        while True:
            line = self._next()
            if line is None:
                return None
            if isinstance(line, LongLine):
                return _too_long()
            if line.strip("\r\n"):
                return self._checked(self._row(line, width))

    def _next(self) -> str | LongLine | None:
        line = self._again.popleft() if self._again else next(self._lines, None)
        self.number += line is not None
        return line

    def _row(self, line: str, width: int) -> list[str] | str:
        if not self._quote or self._quote not in line:
            return self._split(line)
        taken: list[str | LongLine] = []
        cells: list[str] | None = None
        try:
            cells = next(self._parsed(self._from(line, taken), strict=True))
        except _LongRowError:
            return _too_long()
        except csv.Error:
            pass  # a quote inside of a cell, or one that is not closed
        if cells is not None and (not taken or self._may_span(line, taken, cells, width)):
            if taken:
                self.met.spanning.add(self.number)
            return cells
        self._again.extendleft(reversed(taken))
        self.number -= len(taken)
        if self._is_strict:
            raise QuotesAreTextError
        return self._alone(line, width)

    def _parsed(self, lines: Iterable[str], strict: bool) -> Iterator[list[str]]:
        return csv.reader(lines, strict=strict, delimiter=self._delimiter, quotechar=self._quote)

    def _from(self, line: str, taken: list[str | LongLine]) -> Iterator[str]:
        """A line and, for as long as a quote is open, those behind it."""
        yield line
        characters = len(line)
        while (more := self._next()) is not None:
            taken.append(more)
            characters += 0 if isinstance(more, LongLine) else len(more)
            if isinstance(more, LongLine) or characters > MAX_CELLS_CHARACTERS:
                raise _LongRowError
            yield more

    def _may_span(
        self, line: str, taken: list[str | LongLine], cells: list[str], width: int
    ) -> bool:
        """Tell a cell of several lines from rows that a stray quote at each end would join."""
        if self._is_given or not width:
            return True
        if len(cells) > width:
            return False
        rows = [self._split(str(row)) for row in (line, *taken)]
        if width == 1 or any(len(row) != width for row in rows):
            return True
        return width < _SURE_CELLS and len({_shape(row[0]) for row in rows}) > 1

    def _alone(self, line: str, width: int) -> list[str] | str:
        """The cells of one line whose quotes do not enclose them."""
        cells = self._split(line)
        if len(cells) == width or not width:
            self.met.unclosed.add(self.number)
            return cells
        try:
            loose = next(self._parsed([line.rstrip("\r\n")], strict=False))
        except csv.Error as fault:
            return str(fault)
        if len(loose) > width or _is_open(line, self._quote):
            return (
                f"{len(cells)} cells under a header of {width}, and quotes that do not enclose "
                "them; double a quote that is text"
            )
        self.met.loose.add(self.number)
        return loose

    def _split(self, line: str) -> list[str]:
        return line.rstrip("\r\n").split(self._delimiter)

    @staticmethod
    def _checked(cells: list[str] | str) -> list[str] | str:
        most = csv.field_size_limit()
        if not isinstance(cells, str) and any(len(cell) > most for cell in cells):
            return _too_long()
        return cells


def _is_open(line: str, quote: str) -> bool:
    """Tell whether the quotes of a line are an odd number."""
    return line.count(quote) % 2 == 1


def _too_long() -> str:
    return f"field larger than field limit ({csv.field_size_limit()})"


def _shape(text: str) -> str:
    """A cell with a sign for every word and number, which ids of a table have in common."""
    return _NUMBER.sub("0", _WORD.sub("a", text))
