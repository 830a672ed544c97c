"""The batch that serves a stage best here, measured once for each machine and model."""

from __future__ import annotations

from collections.abc import Callable

import torch

from actors.disks.remembered import remember, remembered
from uniaudio2.runtime.memory_budget import calibrate


def calibrated(stage: str, model: str, run: Callable[[int], object], most: int) -> int:
    """The size of a batch, see `calibrate`; what an earlier actor found is taken.

    Args:
        stage: its name.
        model: fingerprint, and in which precision it multiplies.
        run: does a batch of some size once.
        most: largest size that is tried.
    """
    device = "cpu"
    if torch.cuda.is_available():
        device = (
            f"{torch.cuda.get_device_name()}:{torch.cuda.get_device_properties(0).total_memory}"
        )
    key = f"batch:{stage}:{model}:{device}:{torch.get_num_threads()}"
    known = remembered(key)
    if known is not None and 1 <= known <= most:
        return int(known)
    size = calibrate(run, most)
    remember(key, size)
    return size
