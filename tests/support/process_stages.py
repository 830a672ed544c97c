"""Stages for tests of worker processes, which import little to find them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from actors.batch.receipt import Receipt
from actors.batch.unit import UnitSpec

if TYPE_CHECKING:
    import pyarrow as pa


class Load:
    """Hands units on."""

    def __call__(self, table: pa.Table) -> pa.Table:
        return table


class Write:
    """Says which process it was; unit 1 raises, unit 2 ends the process, unit 3 never ends."""

    def __call__(self, table: pa.Table) -> pa.Table:
        unit = UnitSpec.from_table(table).unit
        if unit == 1:
            raise RuntimeError("no")
        if unit == 2:
            os._exit(1)
        if unit == 3:
            time.sleep(600)
        return Receipt(unit, os.getpid(), 0, {}, {}).to_table()


class Unbuilt:
    """A stage that cannot be built."""

    def __init__(self) -> None:
        raise ValueError("no such model")
