"""Modules of full size on a device without numbers: shapes, dtypes and devices are real.

Within a `FakeTensorMode`, adding what is here to what is there raises, as does looking at a
number on the host. So work that passes mixes no devices and waits for none.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

ELSEWHERE = torch.device("meta")

_M = TypeVar("_M", bound=nn.Module)


def moved_elsewhere(module: _M, dtype: torch.dtype | None = None) -> _M:
    """A fake module, moved there; floating-point weights in `dtype`, if one is given."""
    for owner in module.modules():
        for name, weight in owner.named_parameters(recurse=False):
            kind = dtype if dtype and weight.is_floating_point() else weight.dtype
            moved = torch.empty(weight.shape, dtype=kind, device=ELSEWHERE)
            owner._parameters[name] = nn.Parameter(moved, requires_grad=False)
        for name, buffer in owner.named_buffers(recurse=False):
            owner._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=ELSEWHERE)
    return module.eval()
