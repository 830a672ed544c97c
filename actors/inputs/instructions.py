"""Choose the instruction of a row."""

from __future__ import annotations

from collections.abc import Sequence

from uniaudio2.seeds import row_seed


def choose_instruction(own: object, instructions: Sequence[str], seed: int, row_id: str) -> str:
    """The row's own instruction, or one of the job's by the row's seed.

    Args:
        own: what the row's `instruction` column holds; None or blank for nothing.
        instructions: those of the job, at least one; "" asks for nothing.
        seed: the job's seed.
        row_id: the row's id.
    """
    if own is not None and str(own).strip():
        return str(own)
    return instructions[row_seed(seed, row_id, "instruction") % len(instructions)]
