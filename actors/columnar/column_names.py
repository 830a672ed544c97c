"""Names that the columns of a file go by where its rows are used, and where their ids come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from actors.columnar.value_bounds import TOO_LARGE, large_row, limit_of

ID = "id"


@dataclass(frozen=True)
class ColumnNames:
    """How rows of a file are seen.

    Attributes:
        renamed: names by those that the file has.
        ids_from: column of the file whose values are the ids; it stays beside them. "" takes its
            own ids as they are.
        place: name of the file, where ``NAME:ROW``, counted from 0, is the id of a row; or "".
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    ids_from: str = ""
    place: str = ""

    @property
    def text(self) -> str:
        """All of it as JSON; "" where nothing is renamed and ids stay as they are."""
        return json.dumps(asdict(self)) if self != ColumnNames() else ""

    @staticmethod
    def of_text(text: str) -> ColumnNames:
        """Undo `text`."""
        return ColumnNames(**json.loads(text)) if text else ColumnNames()

    def own(self, names: Sequence[str] | None) -> list[str] | None:
        """Columns of the file that some columns are made of; None for all."""
        if names is None:
            return None
        before = {new: old for old, new in self.renamed.items()}
        found = [self._own_id if name == ID else before.get(name, name) for name in names]
        return list(dict.fromkeys(name for name in found if name))

    @property
    def _own_id(self) -> str:
        if self.place:
            return ""
        before = {new: old for old, new in self.renamed.items()}
        return self.ids_from or before.get(ID, ID)

    @property
    def hashes_rows(self) -> bool:
        """Whether ids are made of all that rows hold, though the file has some."""
        return ID in self.renamed and not (self.place or self.ids_from)

    def own_limits(self, limits: Mapping[str, int] | None) -> Mapping[str, int] | None:
        """Limits of values, in bytes, by the file's own names."""
        if not self.renamed:
            return limits
        return {
            **(limits or {}),
            **{own: limit_of(new, limits) for own, new in self.renamed.items()},
        }

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Columns of the file by their new names, behind them the ids where others are made."""
        return self.table(schema.empty_table()).schema

    def table(self, table: pa.Table, first: int = 0) -> pa.Table:
        """Rows by their new names.

        Args:
            table: rows of the file, with all columns or those that `own` says.
            first: number of the first of them in the file, from 0.
        """
        ids = None
        if self.place:
            rows = range(first, first + table.num_rows)
            ids = pa.chunked_array([pa.array([f"{self.place}:{row}" for row in rows], pa.string())])
        elif self.ids_from and self.ids_from in table.column_names:
            ids = _as_ids(table[self.ids_from])
        if self.renamed:
            table = _with_notes(table, self.renamed)
            names = [self.renamed.get(name, name) for name in table.column_names]
            table = table.rename_columns(names)
        return table if ids is None else table.append_column(ID, ids)


def _as_ids(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as ids: of a sound that is held, the path beside it."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("path") >= 0:
        return pc.struct_field(column, "path")
    return column


def _with_notes(table: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    """A table whose notes on values that are too large go by the new names."""
    if TOO_LARGE not in table.column_names:
        return table
    notes = [
        json.dumps({renamed.get(name, name): fact for name, fact in facts.items()})
        if (facts := large_row(note))
        else note
        for note in table[TOO_LARGE].to_pylist()
    ]
    place = table.column_names.index(TOO_LARGE)
    return table.set_column(place, TOO_LARGE, pa.array(notes, pa.string()))
