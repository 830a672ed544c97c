"""Which waiting rows find slots, and memory for their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Admission:
    """What an engine has room for.

    Attributes:
        slots: most rows.
        halves: sequences of a row.
        kv_rows: most rows of keys and values that all sequences may come to hold, about; None
            for no limit. The cache is a rectangle: every sequence has room for the longest.
    """

    slots: int
    halves: int
    kv_rows: int | None = None

    def admits(self, lengths: Sequence[int]) -> bool:
        """Whether rows can be there together; one alone always can.

        Args:
            lengths: of each row, its prompt and the longest answer that it may have.
        """
        if len(lengths) > self.slots:
            return False
        if self.kv_rows is None or len(lengths) <= 1:
            return True
        return len(lengths) * self.halves * max(lengths) <= self.kv_rows
