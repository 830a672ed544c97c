"""Tables with delimiters, CSV and TSV: how they are written is found, said, and can be given."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa

from pipelines.manifest.formats.cells import Met, QuotesAreTextError, RowReader
from pipelines.manifest.formats.dialect import (
    DELIMITERS,
    RARELY_QUOTED,
    Script,
    delimiter_of,
    is_header,
    is_never_quoted,
    script_of,
    separator_of,
)
from pipelines.manifest.tables.row_tables import (
    NumberedRows,
    Row,
    is_unicode,
    require_columns,
    table_of_rows,
)
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import CharacterCount, LongLine, TextFile
from uniaudio2.shown import quoted

_SAMPLE_LINES, _SAMPLE_CHARACTERS = 100, 1 << 16
_QUOTE = '"'
_WESTERN = "cp1252"


class _NotUtf8Error(Exception):
    """A line of a file is not UTF-8."""


def parse_delimited(usual: str) -> Callable[[TextFile, Scan], pa.Table]:
    """A reader of tables.

    Args:
        usual: the delimiter that the file's suffix tells of.
    """

    def parse(file: TextFile, scan: Scan) -> pa.Table:
        return _Delimited(file, usual, scan).table()

    return parse


class _Delimited:
    """One file; it is read again where what was believed of it does not hold."""

    def __init__(self, file: TextFile, usual: str, scan: Scan) -> None:
        self._usual, self._scan, self._given = usual, scan, scan.dialect
        self._file = file
        self._quote = _QUOTE if self._given.quote is None else self._given.quote
        self._delimiter = self._given.delimiter or usual
        self._script: Script | None = None
        self._encoding = ""
        self._met = Met()

    def table(self) -> pa.Table:
        """All rows."""
        while True:
            try:
                table = table_of_rows(self._rows, self._scan)
                break
            except QuotesAreTextError:
                self._quote = ""
            except _NotUtf8Error:
                self._script = script_of(self._file)
                if self._script == "western":
                    self._file = replace(self._file, encoding=_WESTERN)
        if notes := list(self._notes()):
            self._scan.noticed.understood(self._file.name, "; ".join(notes))
        return table

    def _rows(self, meter: CharacterCount) -> NumberedRows:
        lines = self._checked(self._file.lines(meter))
        sample = list(_sample(lines))
        self._encoding = meter.encoding
        texts = [line for line in sample if isinstance(line, str) and line.strip()]
        separator = separator_of(texts[0]) if texts and texts[0] is sample[0] else None
        if self._given.delimiter is None:
            self._delimiter = separator or delimiter_of(texts, self._usual)
        reader = self._reader(itertools.chain(sample, lines))
        if separator:
            reader.skip(1)
        self._met = reader.met
        first = reader.next_row()
        names, is_row = self._header(first)
        if len(set(names)) < len(names) or not is_unicode(list(names)):
            raise ValueError("the header repeats a name or is not UTF-8; correct its names")
        require_columns(len(names))
        if self._given.quote is None and self._quote and is_never_quoted(names, self._delimiter):
            raise QuotesAreTextError
        if is_row and first is not None:
            yield reader.number, _named(first, names)
        yield from _delimited_rows(reader, names)

    def _checked(self, lines: Iterator[str | LongLine]) -> Iterator[str | LongLine]:
        """The lines; the first that is no UTF-8 ends the reading until `_script` is known."""
        if self._script or self._file.encoding:
            return lines
        return map(_require_utf8, lines)

    def _reader(self, lines: Iterator[str | LongLine]) -> RowReader:
        is_given = self._given.quote is not None
        is_strict = not is_given and self._delimiter in RARELY_QUOTED
        return RowReader(lines, self._delimiter, self._quote, is_given, is_strict)

    def _header(self, first: list[str] | str | None) -> tuple[tuple[str, ...], bool]:
        """Names of the columns, and whether the first row is one.

        Raises:
            ValueError: it cannot be told.
        """
        given = self._given.header
        if first is None:
            return (), False
        if isinstance(given, tuple):
            return given, first != list(given)
        if isinstance(first, str):
            raise ValueError(f"the header cannot be read: {first}")
        if given is False:
            return tuple(f"column_{number}" for number in range(1, len(first) + 1)), True
        if given is None and not is_header(first):
            names = ",".join(["audio", "text", *"cdefghijk"][: len(first)])
            raise ValueError(
                f"its first line is no header but a row of {len(first)} cells; name its columns, "
                f"such as --set manifest.header=[{names}], or say --set manifest.header=yes"
            )
        return tuple(first), False

    def _notes(self) -> Iterator[str]:
        """What was found that a suffix does not tell."""
        met, name = self._met, DELIMITERS.get(self._delimiter, quoted(self._delimiter))
        if self._given.delimiter is None and self._delimiter != self._usual:
            yield f"has {name} between its cells (--set manifest.delimiter says otherwise)"
        if self._script == "western":
            yield (
                f"is not UTF-8 and was read as {_WESTERN}, that of Western Europe "
                "(--set manifest.encoding says otherwise)"
            )
        elif self._script == "other":
            yield (
                "is neither UTF-8 nor in a script of Western Europe, so lines with other letters "
                "fail; --set manifest.encoding=NAME, such as gbk, shift_jis or cp1251, reads them"
            )
        elif not self._file.encoding and not self._encoding.startswith("utf-8"):
            yield f"is {self._encoding.upper()}"
        if not self._quote and self._given.quote is None:
            yield "has quotes that are text, so every line is a row"
        if met.spanning.count:
            yield (
                f"has rows that their quotes extend over several lines: {met.spanning} "
                "(--set manifest.quote=none makes every line a row)"
            )
        if met.unclosed.count:
            yield f"has lines whose quotes enclose no cell and were read as text: {met.unclosed}"
        if met.loose.count:
            yield f"has lines with text behind a quote that closes, which they lost: {met.loose}"


def _sample(lines: Iterator[str | LongLine]) -> Iterator[str | LongLine]:
    """The first lines, and no more of them than tell how a file is written."""
    characters = 0
    for line in itertools.islice(lines, _SAMPLE_LINES):
        yield line
        characters += 0 if isinstance(line, LongLine) else len(line)
        if characters > _SAMPLE_CHARACTERS:
            return


def _require_utf8(line: str | LongLine) -> str | LongLine:
    if isinstance(line, str) and not is_unicode(line):
        raise _NotUtf8Error
    return line


def _delimited_rows(reader: RowReader, names: tuple[str, ...]) -> NumberedRows:
    while (cells := reader.next_row(len(names))) is not None:
        yield reader.number, _named(cells, names)


def _named(cells: list[str] | str, names: tuple[str, ...]) -> Row | str:
    """Cells by the names of their columns, None for those that are not there; or what is wrong."""
    if isinstance(cells, str):
        return cells
    if len(cells) > len(names):
        return f"{len(cells)} cells under a header of {len(names)}; quote them"
    return dict(itertools.zip_longest(names, cells))
