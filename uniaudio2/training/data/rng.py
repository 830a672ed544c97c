"""Random generators of training, one per step, from a seed."""

from __future__ import annotations

import random

from uniaudio2.seeds import row_seed


def step_rng(seed: int, stage: str, step: int) -> random.Random:
    """Make the generator of one step, the same after a restart."""
    return random.Random(row_seed(seed, str(step), stage))
