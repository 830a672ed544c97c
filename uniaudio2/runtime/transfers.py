"""From the host to a device, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device; the host goes on at once."""
    if device.type == "cuda" and not tensor.is_cuda:
        # a copy from other memory would wait for all that the device was told before
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
