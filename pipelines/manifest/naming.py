"""The columns of an INPUT by the names that tasks read, and where the ids of its rows come from.

What is given decides (`--map audio=path`, `manifest.id`); else a column of another name serves
where there is one that can, which is said, and where there are several, none is chosen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.names import FAULT_COLUMN
from actors.columnar.cells import shown_value
from actors.columnar.column_names import ID, ColumnNames
from actors.columnar.constants import constants_schema, with_constants
from actors.columnar.file_rows import file_batches
from pipelines.errors import UsageError
from pipelines.manifest.files import place_of
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.aliases import aliases_in, can_be, hold_paths
from pipelines.manifest.tables.scan import Scan
from uniaudio2.frozen import nearest
from uniaudio2.shown import listed, quoted

_LOOKED_AT = 16  # rows whose values tell what a column holds
_LINE = re.compile(r"line-\d+")
_NAMELESS = {ID, FAULT_COLUMN}
Needs = Mapping[str, Sequence[str]]
"""Columns that are read, and for each those which serve in its place as they are."""


def named_sources(sources: list[Source], uri: str, needs: Needs, scan: Scan) -> list[Source]:
    """Sources with their columns named as tasks read them, and with the ids that are asked for.

    Args:
        sources: of one INPUT, as `find_sources` gives them.
        uri: INPUT.
        needs: what is read of them.
        scan: what is given (`names`, `ids_from`, `ids`); it is told what serves and what does not.

    Raises:
        UsageError: a column that is given is not there, or two columns would have one name.
    """
    _check_given(sources, uri, scan)
    naming = _Naming(uri, needs, scan)
    return _told_apart([naming.of(source) for source in sources], uri)


def _is_nameless(source: Source) -> bool:
    """A source without columns: files that are not read, lines none of which is a row."""
    return source.table is not None and set(source.schema.names) <= _NAMELESS


def _check_given(sources: list[Source], uri: str, scan: Scan) -> None:
    known = list(dict.fromkeys(name for source in sources for name in source.schema.names))
    asked = {name: f"--map {target}={name}" for target, name in scan.names.items()}
    if scan.ids_from:
        asked[scan.ids_from] = f"ids of column {quoted(scan.ids_from)}"
    for name, what in asked.items():
        if name not in known:
            raise UsageError(f"{uri}: {what}: there is no such column; {nearest(name, known)}")
    for name, count in Counter(scan.names.values()).items():
        if count > 1:
            raise UsageError(f"--map: column {quoted(name)} is given {count} names; give it one")
    for source in sources:
        if scan.ids_from and not _is_nameless(source) and scan.ids_from not in source.schema.names:
            raise UsageError(
                f"{source.uri}: no column {quoted(scan.ids_from)} to take ids from, as other files "
                "of INPUT have; --set manifest.id=place makes ids of file names and row numbers"
            )


class _Naming:
    """What columns are called, decided once for all sources with the same columns."""

    def __init__(self, uri: str, needs: Needs, scan: Scan) -> None:
        self.uri, self.needs, self.scan = uri, needs, scan
        self._known: dict[tuple[str, ...], dict[str, str]] = {}
        self._told: set[tuple[str, str]] = set()

    def of(self, source: Source) -> Source:
        """A source by the names that its columns have from here on."""
        if _is_nameless(source):
            return source
        own = tuple(source.schema.names)
        if own not in self._known:
            self._known[own] = self._renamed(source)
        renamed = dict(self._known[own])
        scan, place = self.scan, place_of(source.uri, self.uri)
        ids_from = scan.ids_from if scan.ids_from != ID else ""
        if ID in own and (ids_from or scan.ids) and ID not in renamed:
            renamed[ID] = _free(f"input_{ID}", {*own, *renamed.values()})
        names = ColumnNames(renamed, ids_from, place if scan.ids == "place" else "")
        if names == ColumnNames():
            return source
        if source.table is None:
            return replace(source, schema=names.schema(source.schema), names=names.text)
        table = _with_ids(names.table(source.table), place)
        return replace(source, table=table, schema=table.schema, names=names.text)

    def _renamed(self, source: Source) -> dict[str, str]:
        """New names of a source's columns: those that are given, then those that serve."""
        own = source.schema.names
        given = {name: new for new, name in self.scan.names.items() if name in own and new != name}
        for name, new in given.items():
            if new in own and new not in given:
                raise UsageError(
                    f"{source.uri}: --map {new}={name}: there is a column {quoted(new)}; give that "
                    f"one another name, too: --map other_{new}={new}"
                )
        renamed = dict(given)
        for target, serving in self.needs.items():
            there = {renamed.get(name, name) for name in own}
            if not there & {target, *serving}:
                found = self._serving(source, target, [n for n in own if n not in renamed])
                if found is not None:
                    renamed[found] = target
        return renamed

    def _serving(self, source: Source, target: str, names: list[str]) -> str | None:
        """The one column that can be `target`; None for none or several."""
        aliases = aliases_in(names, target)
        told = {name: can_be(source.schema.field(name).type, target) for name in aliases}
        unclear = [name for name, can in told.items() if can is None]
        rows = _first_rows(source, unclear) if unclear else {}
        usable = [n for n, can in told.items() if (hold_paths(rows[n]) if can is None else can)]
        noticed = self.scan.noticed
        if len(usable) == 1:
            if (target, usable[0]) not in self._told:
                self._told.add((target, usable[0]))
                noticed.understood(
                    source.uri,
                    f"has no column {quoted(target)}; {quoted(usable[0])} is taken for it "
                    f"(--map {target}=COLUMN takes another)",
                )
            return usable[0]
        if usable:
            noticed.doubt(
                target,
                f"{listed(usable)} could each be {quoted(target)}; say which one is: "
                f"--map {target}={usable[0]}",
            )
        elif aliases:
            what = "paths or sounds" if target == "audio" else "texts"
            noticed.doubt(
                target,
                f"{listed(aliases)} is not taken for {quoted(target)}, as its values are no {what} "
                f"by their looks; --map {target}={aliases[0]} takes it",
            )
        return None


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"input_{name}"
    return name


def _first_rows(source: Source, columns: list[str]) -> dict[str, list[Any]]:
    """Some values of columns of a source."""
    if source.table is not None:
        rows = source.table.slice(0, _LOOKED_AT)
    else:
        constant = constants_schema(source.constants).names
        own = [name for name in columns if name not in constant]
        batches = file_batches(source.uri, _LOOKED_AT, own or source.schema.names[:1], _LOOKED_AT)
        rows = with_constants(pa.Table.from_batches(islice(batches, 1)), source.constants)
    return {name: [shown_value(cell) for cell in rows[name]] for name in columns}


def _with_ids(table: pa.Table, place: str) -> pa.Table:
    """A table whose failed lines have ids, where those of other rows stand in a column."""
    names = table.column_names
    if ID not in names or FAULT_COLUMN not in names or not table[ID].null_count:
        return table
    ids, faults = table[ID].to_pylist(), table[FAULT_COLUMN].to_pylist()
    filled = [
        f"{place}:{row}" if name is None and fault is not None else name and str(name)
        for row, (name, fault) in enumerate(zip(ids, faults, strict=True))
    ]
    return table.set_column(names.index(ID), ID, pa.array(filled, pa.string()))


def _told_apart(sources: list[Source], uri: str) -> list[Source]:
    """Sources whose failed lines have ids of their own: lines have numbers, which repeat."""
    failed = {index: marks for index, one in enumerate(sources) if (marks := _failed_lines(one))}
    counts = Counter(mark for marks in failed.values() for mark in marks.values())
    result = list(sources)
    for index, marks in failed.items():
        rows = {row for row, mark in marks.items() if counts[mark] > 1}
        if rows:
            result[index] = _with_places(sources[index], rows, uri)
    return result


def _failed_lines(source: Source) -> dict[int, str]:
    """Rows that are lines which failed, and what tells them apart: ``line-7``, or their fault."""
    table = source.table
    if table is None or FAULT_COLUMN not in table.column_names:
        return {}
    rows = pc.indices_nonzero(pc.is_valid(table[FAULT_COLUMN])).to_pylist()
    has_ids = ID in table.column_names
    marks = table[ID if has_ids else FAULT_COLUMN]
    told = {row: str(marks[row].as_py()) for row in rows}
    return {row: mark for row, mark in told.items() if not has_ids or _LINE.fullmatch(mark)}


def _with_places(source: Source, rows: set[int], uri: str) -> Source:
    """A source some of whose failed lines are known by its name, too."""
    table, place = source.table or pa.table({}), place_of(source.uri, uri)
    column = ID if ID in table.column_names else FAULT_COLUMN
    values = [
        value if row not in rows else f"{place}:{row}" if column == ID else f"{place}: {value}"
        for row, value in enumerate(table[column].to_pylist())
    ]
    texts = pa.array(values, pa.string())
    index = table.column_names.index(column)
    return replace(source, table=table.set_column(index, column, texts))
