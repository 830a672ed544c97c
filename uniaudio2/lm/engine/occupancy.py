"""How well an engine is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Occupancy:
    """How full the slots were while requests were waiting for one.

    Attributes:
        frames: frames of the whole batch.
        rows: rows that were still unfinished, summed over those frames.
        slots: of the engine.
    """

    slots: int
    frames: int = 0
    rows: int = 0

    @property
    def share(self) -> float:
        """In 0..1; 1 if nothing ever waited."""
        return self.rows / (self.frames * self.slots) if self.frames else 1.0
