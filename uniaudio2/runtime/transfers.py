"""Copies from the host to a device that do not wait for it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device; the host goes on at once."""
    if device.type == "cuda" and not tensor.is_cuda:
        # a copy from other memory would wait for all that the device was told before
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
