"""Parts as they are stored: whole Parquet files, with the marks that commit records hold."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from actors.batch.error_rows import crash_table
from actors.batch.receipt import FileMark, Receipt, file_mark
from actors.batch.unit import UnitSpec
from actors.storage.object_store import Storage

Units = Sequence[tuple[int, int]]
GROUP_ROWS = 4096  # no reader takes more at a time
UNITS_KEY = b"uniaudio2.units"  # in the footer of parts that hold the rows of several units


class PartFile:
    """A part in the making: a complete Parquet file in memory, so that one PUT stores it.

    Its row groups have at most `GROUP_ROWS` rows.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._bytes = io.BytesIO()
        self._file = pq.ParquetWriter(self._bytes, schema, compression="zstd")

    def add(self, table: pa.Table) -> None:
        """Append rows, in row groups of their own."""
        if table.num_rows:
            self._file.write_table(table, row_group_size=GROUP_ROWS)

    def close(self, units: Units = ()) -> bytes:
        """The whole file.

        Args:
            units: the units whose rows it holds, with how many each, where its name tells of
                another.
        """
        if units:
            self._file.add_key_value_metadata({UNITS_KEY.decode(): json.dumps(units)})
        self._file.close()
        return self._bytes.getvalue()


def parquet_bytes(table: pa.Table, units: Units = ()) -> bytes:
    """A table as the contents of a part, see `PartFile`."""
    part = PartFile(table.schema)
    part.add(table)
    return part.close(units)


def store(storage: Storage, path: str, data: bytes) -> FileMark:
    """Write an object and return its mark."""
    storage.put(path, data)
    return file_mark(data)


def store_crash(output: str, spec: UnitSpec, kind: str, message: str, attempts: int) -> Receipt:
    """Write the errors part of one row that no worker survived, and return its receipt.

    Args:
        output: OUTPUT of the run.
        spec: address of the single row.
        kind: ``crash`` when its worker died, ``fault`` when its stage raised, ``out_of_memory``
            when that was for want of memory.
        message: what happened.
        attempts: how often it was tried.
    """
    table = crash_table(spec, kind, message, attempts)
    path = f"errors/part-{spec.unit:08d}-{uuid.uuid4().hex[:8]}.parquet"
    files = {path: store(Storage(output), path, parquet_bytes(table))}
    return Receipt(
        unit=spec.unit,
        row=spec.row,
        ok=0,
        errors=table.num_rows,
        files=files,
        kinds={kind: table.num_rows},
        error_parts=(path,),
    )
