"""The random choices of training: a generator a step, from a seed."""

from __future__ import annotations

import random

from uniaudio2.seeds import row_seed


def dice_of(seed: int, stage: str, step: int) -> random.Random:
    """The random choices of one step, the same after a restart."""
    return random.Random(row_seed(seed, str(step), stage))
