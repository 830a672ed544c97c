"""Attention without a causal mask, in blocks that stay in a CPU's cache.

Torch's own kernel multiplies its blocks with MKL, which on processors of other makers reaches half
of what oneDNN does (see `packed_linear`). Here the queries of one head at a time go through two
products of oneDNN with a softmax between them; their scores stay in cache.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from uniaudio2.runtime.packed_linear import PackedWeight, is_packable, unpacked_product

_BLOCK_BYTES = 2 << 20  # of scores: about what a core's own cache holds
_SHORT = 256  # of fewer keys torch's own kernel is as quick, and takes all heads in one call
_FEWEST_QUERIES = 128  # below, the products are too small to be quick


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float | None = None,
    gate: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Mix values by the softmax of scaled scores, biased by distance where a bias is given.

    Args:
        query: ``[B, H, T, d]``.
        key: ``[B, H, T, d]``.
        value: ``[B, H, T, d]``.
        scale: multiplies the products; None is ``d ** -0.5``.
        gate: ``[B, H, T, 1]``, multiplies the bias of a query; given with `bias`.
        bias: ``[H, 2 T - 1]``, added to the score of a key that comes ``index - (T - 1)`` positions
            after the query.

    Returns:
        ``[B, H, T, d]``, laid out as ``[B, T, H, d]``: heads are joined without a copy.
    """
    if scale is None:
        scale = query.shape[-1] ** -0.5
    rows = None
    if bias is not None:
        # Row t of the windows of the reversed biases is what query t adds to reversed keys.
        rows = bias.flip(-1).unfold(-1, query.shape[2], 1)  # [H, T, T], a view
        key, value = key.flip(2), value.flip(2)
    in_blocks = is_packable(query) and PackedWeight.is_possible() and key.shape[2] >= _SHORT
    if torch.is_grad_enabled() or not in_blocks:
        mask = None if gate is None or rows is None else gate * rows  # [B, H, T, T]
        mixed = functional.scaled_dot_product_attention(query, key, value, mask, scale=scale)
        return mixed.transpose(1, 2).contiguous().transpose(1, 2)
    mixed = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    for item in range(query.shape[0]):
        for head in range(query.shape[1]):
            _mix(
                scale * query[item, head],
                key[item, head],
                value[item, head],
                None if gate is None else gate[item, head],
                None if rows is None else rows[head],
                mixed[item, :, head],
            )
    return mixed.transpose(1, 2)


def _mix(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gate: Tensor | None,
    rows: Tensor | None,
    out: Tensor,
) -> None:
    """One head, all ``[T, d]``: `query` is scaled, `rows` ``[T, T]`` are added to the scores."""
    key, value = key.contiguous(), value.t().contiguous()
    block = max(_BLOCK_BYTES // (query.element_size() * len(key)), _FEWEST_QUERIES)
    for start in range(0, len(query), block):
        part = slice(start, start + block)
        scores = unpacked_product(query[part], key)  # [block, T]
        if gate is not None and rows is not None:
            scores.addcmul_(gate[part], rows[part])
        out[part] = unpacked_product(scores.softmax(-1), value)
