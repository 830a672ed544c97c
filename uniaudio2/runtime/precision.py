"""In which arithmetic the products of a stage are computed, a setting of each stage.

``float32`` is exact and the reference. ``tf32`` rounds what a CUDA device multiplies to 10 bits and
keeps float32 everywhere else. ``bfloat16`` multiplies in bfloat16 (8 bits) and sums in float32;
resampling, mel spectra, norms, softmax, the residual stream, the state of the Euler steps, the
quantizers and the scalar decoder stay in float32. It needs no support of a processor, and pays on
those with AMX or AVX512-BF16 and on GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # settings name precisions before torch is there
    import torch

Precision = Literal["float32", "tf32", "bfloat16"]
EXACT: Precision = "float32"


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that a device does not have.

    Raises:
        ValueError: tf32 elsewhere than on a CUDA device.
    """
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(
            f"precision tf32 is of CUDA devices and the model is on {device.type}; choose float32 "
            "or bfloat16"
        )


def product_dtype(precision: Precision) -> torch.dtype:
    """What is multiplied."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute products in a precision inside the block, as far as torch chooses that for itself.

    On a CUDA device bfloat16 is torch's autocast, and the other two say whether float32 products
    and convolutions may be rounded. On a CPU layers are packed in their precision instead.
    """
    if device.type != "cuda":
        yield
        return
    import torch

    if precision == "bfloat16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
        return
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined] # known at run time
    backends = torch.backends.cuda.matmul, convolutions
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for backend, kept in zip(backends, before, strict=True):
            backend.fp32_precision = kept
