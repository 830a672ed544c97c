"""What the last stage says of a unit, and what a fault leaves of one: the two ends of a stream.

Both travel as a table of one row, because a stage's result is a table; between actors and driver
they are these types and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from actors.batch.names import FAULT, RECEIPT, STAGE_TIMES
from actors.batch.stage_times import StageTime, times_from_json

if TYPE_CHECKING:  # who only counts what is committed starts without Arrow
    import pyarrow as pa

FileMark = list[int | str]  # size in bytes, and a hash of the contents
# what ended a call: the stage raised, memory ran out, storage took no results, the machine that had
# them could not hand them over, or the node that it was to be made on does not fit the run
FaultKind = Literal["fault", "out_of_memory", "storage", "machine", "node"]


def file_mark(data: bytes) -> FileMark:
    """Size and hash of an object's contents, for the commit record."""
    return [len(data), hashlib.blake2b(data, digest_size=16).hexdigest()]


@dataclass(frozen=True)
class Receipt:
    """What was written of a unit, or of one row of it; nothing of it is visible before a commit.

    Attributes:
        unit: its number.
        row: the one row of the unit that was done, or None for all that were asked for.
        ok: rows in the data part.
        errors: rows in the errors part.
        files: size and hash of every object by its path in OUTPUT.
        kinds: errors by kind.
        data: paths of data parts.
        error_parts: paths of errors parts.
        audio: folder or tar of audio files, or None.
        input_s: seconds of input audio in the good rows.
        output_s: seconds of audio written.
        marks: rows in the data part by the mark that they bear.
        stages: the calls that the unit has been through.
        again: keys of rows that are to be made again, in hexadecimal; they are in no part.
        attempts: path of the file that holds the best of what was made of these, or "".
    """

    unit: int
    ok: int
    errors: int
    files: dict[str, FileMark]
    kinds: dict[str, int]
    row: int | None = None
    data: tuple[str, ...] = ()
    error_parts: tuple[str, ...] = ()
    audio: str | None = None
    input_s: float = 0.0
    output_s: float = 0.0
    marks: dict[str, int] = field(default_factory=dict)
    stages: tuple[StageTime, ...] = ()
    again: tuple[str, ...] = ()
    attempts: str = ""

    def to_table(self) -> pa.Table:
        """One row, as the last stage returns it; the calls of the stages are added to it there."""
        import pyarrow as pa

        facts = asdict(self)
        del facts["stages"]
        return pa.table({RECEIPT: [json.dumps(facts)]})


@dataclass(frozen=True)
class Fault:
    """Why a unit, or a row of it, did not come through; no row is given up for one fault.

    Attributes:
        unit: its number.
        row: the one row of the unit that was tried, or None.
        kind: see `FaultKind`.
        message: stage, class and first line of what was raised.
    """

    unit: int
    row: int | None
    kind: FaultKind
    message: str

    @property
    def stage(self) -> str:
        """The name of the stage."""
        return self.message.partition(":")[0]

    def to_table(self) -> pa.Table:
        """One row, which every later stage hands on."""
        import pyarrow as pa

        return pa.table({FAULT: [json.dumps(asdict(self))]})


Outcome = Receipt | Fault


def outcomes(table: pa.Table) -> Iterator[Outcome]:
    """Read back what a stream ended with.

    Args:
        table: of `Receipt.to_table`, with its stage times where a boundary added them, or of
            `Fault.to_table`.
    """
    if FAULT in table.column_names:
        for text in table.column(FAULT).to_pylist():
            yield Fault(**json.loads(text))
        return
    stamped = STAGE_TIMES in table.column_names  # by its fault boundary, not by the stage itself
    times = table.column(STAGE_TIMES).to_pylist() if stamped else [None] * table.num_rows
    for text, calls in zip(table.column(RECEIPT).to_pylist(), times, strict=True):
        facts = json.loads(text)
        paths = {name: tuple(facts[name]) for name in ("data", "error_parts", "again")}
        receipt = Receipt(**{**facts, **paths})
        yield replace(receipt, stages=tuple(times_from_json(calls)))
