"""Which waiting rows find slots, and memory for their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

_JOIN_SHARE_ON_GPU = 16  # waiting for a 16th of the slots leaves a 32nd of them empty, on average


@dataclass(frozen=True)
class Admission:
    """What an engine has room for.

    Attributes:
        slots: most rows.
        halves: sequences of a row.
        kv_rows: most rows of keys and values that all sequences may come to hold; None for no
            limit. The cache is a rectangle: every sequence has room for the longest.
        together: free slots that rows wait for, to join together. Prompts are run operation by
            operation, which takes a GPU about as long for several of them as for one.
    """

    slots: int
    halves: int
    kv_rows: int | None = None
    together: int = 1

    @staticmethod
    def on(device: torch.device, slots: int, halves: int, kv_rows: int | None) -> Admission:
        """What suits a device."""
        together = slots // _JOIN_SHARE_ON_GPU if device.type == "cuda" else 1
        return Admission(slots, halves, kv_rows, max(together, 1))

    def is_time(self, there: int, waiting: int) -> bool:
        """Whether rows should join those that are there."""
        return there == 0 or self.slots - there >= min(waiting, self.together)

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
