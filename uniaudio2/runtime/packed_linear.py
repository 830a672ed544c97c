"""Linear layers whose weights lie in memory as a CPU reads them fastest.

Torch multiplies float32 matrices with MKL, which on processors of other makers reaches half of
what oneDNN does in small batches and three quarters in large ones (measured on one AMD core,
GFLOP/s, 512 inputs and 3072 outputs: 29 against 59 in batches of 8, 60 against 95 of 32, 84 against
111 of 2048). Torch has oneDNN's product as an operator, but gives it to compiled models alone.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALL_BATCH = 2
_TOO_WIDE = 1.3  # outputs by inputs

Activation = Literal["gelu", "gelu_tanh", "silu"]
# what oneDNN computes while the product is in cache: its name for it, and of which kind
_POST_OPERATIONS: dict[Activation | None, tuple[str, str]] = {
    None: ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
    "silu": ("swish", ""),
}


def _activated(x: Tensor, activation: Activation | None) -> Tensor:
    match activation:
        case "gelu":
            return F.gelu(x)
        case "gelu_tanh":
            return F.gelu(x, approximate="tanh")
        case "silu":
            return F.silu(x)
    return x


def linear(layer: nn.Module, x: Tensor, activation: Activation) -> Tensor:
    """Apply a linear layer and an activation, in one pass where the layer is packed.

    What comes out is for another layer: it may have the dtype of the product.
    """
    if isinstance(layer, PackedLinear):
        return layer.activated(x, activation)
    return _activated(layer(x), activation)


class PackedWeight:
    """A weight ``[out, in]`` as oneDNN stores it.

    Args:
        weight: on the CPU, float32.
        dtype: that is multiplied; sums are float32 in any case.
    """

    def __init__(self, weight: Tensor, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._stored = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype))

    @staticmethod
    def is_possible() -> bool:
        """Tell whether this torch has the operators."""
        needed = ("_reorder_linear_weight", "_linear_pointwise")
        there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call] # torch's
        return there and all(hasattr(torch.ops.mkldnn, name) for name in needed)

    def product(
        self, x: Tensor, bias: Tensor | None = None, activation: Activation | None = None
    ) -> Tensor:
        """``[..., in]`` to ``[..., out]`` of the weight's dtype, through an activation on the way
        out; knows no gradients."""
        name, kind = _POST_OPERATIONS[activation]
        x, bias = x.to(self._dtype), None if bias is None else bias.to(self._dtype)
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._stored, bias, name, [], kind)
        return made


def unpacked_product(x: Tensor, weight: Tensor) -> Tensor:
    """oneDNN's product with a weight ``[out, in]`` that is used once, as it lies in memory: to pack
    it would cost more than the product gains. ``[..., in]`` to ``[..., out]``."""
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return made


class PackedLinear(nn.Linear):
    """A linear layer for inference: the same weights by the same names, and a packed copy.

    Args:
        plain: on the CPU, float32; its weights become those of this layer and must not change.
        small_batches: batches of one or two vectors occur, so weights are laid out for these, too.
            They are bound by reading the matrix. Where outputs are many and inputs few, one dot
            product an output is short and reads at less than half the rate of whole inputs that
            are scaled and summed (11 against 25 GB/s for 512 inputs and 3072 outputs); where
            inputs are many it is the other way round.
        dtype: that is multiplied; what goes in and comes out is float32.
    """

    def __init__(
        self, plain: nn.Linear, small_batches: bool, dtype: torch.dtype = torch.float32
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight, self.bias = plain.weight, plain.bias
        self.train(plain.training)
        self._packed = PackedWeight(self.weight, dtype) if PackedWeight.is_possible() else None
        if small_batches and self.out_features > _TOO_WIDE * self.in_features:
            self.weight.data = self.weight.data.t().contiguous().t()  # [out, in], strides (1, out)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``, in the dtype of the weights."""
        return self.activated(x, None).to(self.weight.dtype)

    def activated(self, x: Tensor, activation: Activation | None) -> Tensor:
        """``[..., in]`` to ``[..., out]`` through an activation, of the dtype of the product."""
        if self._packed is None or x.numel() <= _SMALL_BATCH * self.in_features:
            return _activated(F.linear(x.to(self.weight.dtype), self.weight, self.bias), activation)
        return self._packed.product(x, self.bias, activation)

    def _apply(self, fn: Any, recurse: bool = True) -> PackedLinear:
        self._packed = None  # it stays where and what it is; the weights go elsewhere
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch's own
        return self


class PackedColumns:
    """Multiplies by neighbouring columns of stacked matrices, each packed when it is first used.

    Args:
        stacked: ``[K, in, out]`` on the CPU, float32; must not change.
    """

    def __init__(self, stacked: Tensor) -> None:
        self._stacked = stacked.detach()
        self._packed: dict[tuple[int, int, int], PackedWeight] = {}

    def product(self, x: Tensor, number: int, first: int, stop: int) -> Tensor:
        """``[B, in]`` and columns `first` to before `stop` of a matrix: ``[B, stop - first]``."""
        if len(x) <= _SMALL_BATCH or not PackedWeight.is_possible():
            return x @ self._stacked[number, :, first:stop]
        columns_of = (number, first, stop)
        if columns_of not in self._packed:
            columns = self._stacked[number, :, first:stop].t().contiguous()
            self._packed[columns_of] = PackedWeight(columns)
        return self._packed[columns_of].product(x)


def is_packable(weight: Tensor) -> bool:
    """Tell whether packing suits a weight: float32 on the CPU."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def pack_linears(
    module: nn.Module, small_batches: bool = False, dtype: torch.dtype = torch.float32
) -> None:
    """Pack every float32 linear layer below a module that is on the CPU, once and for all.

    Args:
        module: ready for inference; a module elsewhere, and layers of other dtypes, stay.
        small_batches: as `PackedLinear` has it.
        dtype: that is multiplied.
    """
    for parent in module.modules():
        for name, layer in parent.named_children():
            if type(layer) is nn.Linear and is_packable(layer.weight):
                setattr(parent, name, PackedLinear(layer, small_batches, dtype))
