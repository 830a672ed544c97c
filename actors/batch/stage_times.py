"""When each stage worked on a unit: a small column that travels with it to the commit record."""

from __future__ import annotations

import functools
import json
import os
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from actors.batch.names import ERROR_STAGE, STAGE_TIMES

if TYPE_CHECKING:  # see `Receipt`
    import pyarrow as pa

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a laptop sleeps
_OFFSET_S = time.time() - time.clock_gettime(_STEADY)


def steady_now_s() -> float:
    """Seconds since 1970 as the clock was when this process began: who sets it changes nothing."""
    return _OFFSET_S + time.clock_gettime(_STEADY)


@dataclass(frozen=True)
class StageTime:
    """One call of one stage on one unit.

    Attributes:
        stage: its name.
        worker: the process that did it, a short random name.
        begin: when it began, in seconds since 1970.
        busy_s: how long it took.
        rows: rows that were still good at its end.
        failed: rows that it gave up.
    """

    stage: str
    worker: str
    begin: float
    busy_s: float
    rows: int
    failed: int = 0

    @property
    def end(self) -> float:
        """When it ended, in seconds since 1970."""
        return self.begin + self.busy_s


@functools.cache
def _worker_of(process_id: int) -> str:
    del process_id  # the cache key: a process has one name, and its children others
    return uuid.uuid4().hex[:8]


def worker_name() -> str:
    """A name for this process that no other, on any node, has."""
    return _worker_of(os.getpid())


def read_times(table: pa.Table) -> list[StageTime]:
    """The calls that a unit has been through, in their order."""
    if STAGE_TIMES not in table.column_names or not table.num_rows:
        return []
    return times_from_json(table.column(STAGE_TIMES)[0].as_py())


def times_from_json(text: str | None) -> list[StageTime]:
    """The calls that a cell of the column tells of."""
    return [StageTime(**facts) for facts in json.loads(text or "[]")]


def stamp(before: pa.Table, after: pa.Table, name: str, begin: float, busy_s: float) -> pa.Table:
    """Add a call to those that the unit has been through.

    Args:
        before: what the stage was given.
        after: what it returned; a stage need not carry the column on.
        name: the stage's name.
        begin: when it began, in seconds since 1970.
        busy_s: how long it took.
    """
    import pyarrow as pa

    from actors.batch.table import set_column

    source = after if STAGE_TIMES in after.column_names else before
    rows, failed = _count(before, after, name)
    call = StageTime(name, worker_name(), round(begin, 3), round(busy_s, 4), rows, failed)
    text = json.dumps([asdict(entry) for entry in (*read_times(source), call)])
    return set_column(after, STAGE_TIMES, pa.array([text] * after.num_rows, pa.string()))


def _count(before: pa.Table, after: pa.Table, name: str) -> tuple[int, int]:
    """Rows that are good after a stage, and those that it gave up."""
    for table in (after, before):  # the last stage returns a receipt
        if ERROR_STAGE in table.column_names:
            stages = table.column(ERROR_STAGE)
            return stages.null_count, stages.to_pylist().count(name)
    return after.num_rows, 0
