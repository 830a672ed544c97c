"""How loud a row's audio is, as a column from the stage that hears it to the one that needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.batch.names import LEVELS
from actors.batch.schema import LEVELS_TYPE
from actors.batch.table import scatter, set_column
from uniaudio2.timing.levels import Packed, packed_levels

if TYPE_CHECKING:
    from torch import Tensor


class HeardLevels:
    """Listens to clips on their way into the encoder.

    Args:
        wanted: False lets them pass, and writes no column.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._rows: dict[int, list[Packed]] = {}

    def listen(self, row: int, clips: Iterable[Tensor]) -> Iterator[Tensor]:
        """The clips of a row, ``[N]`` float32 each, as they come."""
        for clip in clips:
            if self.wanted:
                self._rows.setdefault(row, []).append(packed_levels(clip))
            yield clip

    def write(self, table: pa.Table) -> pa.Table:
        """Set the column: the levels of a row's clips, one after the other; null where there were
        none, as of rows that bring codes."""
        if not self.wanted:
            return table
        whole = {row: np.concatenate(own).tobytes() for row, own in self._rows.items()}
        return set_column(table, LEVELS, scatter(whole, table.num_rows, LEVELS_TYPE))


def read_levels(table: pa.Table, row: int) -> Packed | None:
    """The levels of a row, ``[F]`` uint8; None where they are not known."""
    if LEVELS not in table.column_names or not table.column(LEVELS)[row].is_valid:
        return None
    return np.frombuffer(table.column(LEVELS)[row].as_py(), np.uint8)
