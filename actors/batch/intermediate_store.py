"""Tokens kept between stages, so that a unit whose decoding died is not generated again."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.names import DONE, FINGERPRINT, FOLDER, PLACE, ROW, SOURCE, UNIT
from actors.batch.unit import to_stream
from actors.storage.object_store import Storage

STAGE_ORDER = ("encode", "generate", "decode")


def kept_rows(path: str) -> str:
    """What tells of a path of kept tokens which rows they are of, whatever their unit's number."""
    return path.rpartition("-")[2]


def kept_path(unit: int, fingerprint: str) -> str:
    """Where a unit's tokens are kept; other input rows make another name."""
    return f"{FOLDER}/{unit:08d}-{fingerprint[:16]}.arrow"


def is_done(table: pa.Table, stage: str) -> bool:
    """Tell whether kept tokens already hold what a stage would add."""
    if DONE not in table.column_names or stage not in STAGE_ORDER:
        return False
    done = table.column(DONE)[0].as_py()
    return STAGE_ORDER.index(stage) <= STAGE_ORDER.index(done)


def read_kept(uri: str, row: int | None) -> pa.Table:
    """The kept table of a unit, or of one row of it.

    Others may be able to write there, so no addresses are taken from it: where its long audio is
    was needed by the stages before, whose result it holds.

    Raises:
        FileNotFoundError: nothing is kept there.
        ForeignPath: it is a link.
    """
    root, name = uri.rsplit(f"/{FOLDER}/", 1)
    table = pa.ipc.open_stream(Storage(root).read(f"{FOLDER}/{name}")).read_all()
    if SOURCE in table.column_names:
        place = table.column_names.index(SOURCE)
        kind = table.schema.field(place).type
        table = table.set_column(place, SOURCE, pa.nulls(table.num_rows, kind))
    if row is None:
        return table
    if PLACE in table.column_names:
        single = table.filter(pc.equal(table.column(PLACE), row))
    else:
        single = table.slice(row, 1)
    place = single.column_names.index(ROW)
    return single.set_column(place, ROW, pa.array([row] * single.num_rows, pa.int64()))


@dataclass(frozen=True)
class IntermediateStore:
    """Keeps what a stage made of a whole unit.

    Attributes:
        output: OUTPUT of the run.
        stage: the stage whose result is kept.
    """

    output: str
    stage: str

    def keep(self, table: pa.Table) -> pa.Table:
        """Store the table and mark the stage as done; a single row of a unit is left alone."""
        if table.column(ROW)[0].is_valid:
            return table
        marks = pa.array([self.stage] * table.num_rows, pa.string())
        if DONE in table.column_names:
            table = table.drop_columns([DONE])
        table = table.append_column(DONE, marks)
        unit, fingerprint = table.column(UNIT)[0].as_py(), table.column(FINGERPRINT)[0].as_py()
        Storage(self.output).put(kept_path(unit, fingerprint), to_stream(table))
        return table
