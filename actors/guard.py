"""Keep a stage's fault from taking its unit away without a word."""

from __future__ import annotations

import json
import os
import sys
import traceback

import pyarrow as pa

from actors.table import Stage

_DEVICE_LOST = ("CUDA error", "cudaError", "device-side assert", "CUBLAS_STATUS", "NCCL")


def guarded(table: pa.Table, stage: Stage) -> pa.Table:
    """Call a stage; if it raises, hand on one row that says so instead of the unit.

    Bad rows never come here: a stage marks them itself. A lost device cannot serve another call,
    so the process ends and the pool starts a new one.

    Args:
        table: a unit, or what an earlier stage's fault left of it.
        stage: table in, table out.
    """
    if "fault" in table.column_names:
        return table
    try:
        return stage(table)
    except Exception as fault:
        if any(sign in str(fault) for sign in _DEVICE_LOST):
            traceback.print_exc(file=sys.stderr)
            os._exit(70)
        name = type(stage).__name__.lower()
        first_line = (str(fault).strip().splitlines() or [""])[0]
        facts = {
            "unit": _first(table, "unit"),
            "row": _first(table, "row"),
            "fault": f"{name}: {type(fault).__name__}: {first_line}",
        }
        return pa.table({"fault": [json.dumps(facts)]})


def _first(table: pa.Table, column: str) -> int | None:
    if column in table.column_names:
        value: int | None = table.column(column)[0].as_py()
        return value
    facts = json.loads(table.column("spec")[0].as_py())
    number: int | None = facts.get(column)
    return number
