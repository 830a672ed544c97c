"""A conformer layer with rotary positions, as MusicFM stacks them, under its published names.

Why it is not imported is told in `whisper`; `tests/uniaudio2/codec/encoders/test_conformer.py`
holds it equal to the library's, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_DROPOUT = 0.1  # the library's own, of every part in training


class FeedForward(nn.Module):
    """Two linear layers with swish between them.

    Args:
        dim: width of the hidden states.
        inner: width between the layers.
    """

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.intermediate_act_fn = nn.SiLU()
        self.intermediate_dense, self.output_dense = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``[B, T, dim]`` to ``[B, T, dim]``."""
        inner = self.dropout(self.intermediate_act_fn(self.intermediate_dense(hidden)))
        outer: Tensor = self.dropout(self.output_dense(inner))
        return outer


class RotaryAttention(nn.Module):
    """Self-attention whose input, not whose queries and keys, is rotated by its position.

    Args:
        dim: width of the hidden states.
        heads: of equal width.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = heads, dim // heads
        self.scaling = self.head_size**-0.5
        self.linear_q, self.linear_k, self.linear_v, self.linear_out = (
            nn.Linear(dim, dim) for _ in range(4)
        )

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Attend.

        Args:
            hidden: ``[B, T, dim]``.
            table: cosines and sines ``[2, T, 1, 1, dim / heads]``.

        Returns:
            ``[B, T, dim]``.
        """
        rotated = self._rotated(hidden, table)
        queries, keys, values = (
            projected.view(*hidden.shape[:2], self.num_heads, -1).transpose(1, 2)
            for projected in (self.linear_q(rotated), self.linear_k(rotated), self.linear_v(hidden))
        )  # [B, heads, T, dim / heads]
        dropout = _DROPOUT if self.training else 0.0
        heard = functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, scale=self.scaling
        )
        joined: Tensor = self.linear_out(heard.transpose(1, 2).flatten(2))
        return joined

    def _rotated(self, hidden: Tensor, table: Tensor) -> Tensor:
        heads = hidden.view(*hidden.shape[:2], self.num_heads, -1).transpose(
            0, 1
        )  # [T, B, heads, dim / heads]
        first, second = heads.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        rotated: Tensor = heads * table[0] + turned * table[1]
        return rotated.transpose(0, 1).flatten(2)


class Convolution(nn.Module):
    """A gated depthwise convolution over time.

    Args:
        dim: channels.
        kernel: taps, an odd number.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"conv_kernel {kernel} must be odd, so that frames stay in place")
        self.layer_norm = nn.LayerNorm(dim)
        self.pointwise_conv1 = nn.Conv1d(dim, 2 * dim, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(
            dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False
        )
        self.batch_norm = nn.BatchNorm1d(dim)
        self.pointwise_conv2 = nn.Conv1d(dim, dim, 1, bias=False)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``[B, T, dim]`` to ``[B, T, dim]``."""
        channels = self.layer_norm(hidden).transpose(1, 2)
        gated = functional.glu(self.pointwise_conv1(channels), dim=1)
        activated = functional.silu(self.batch_norm(self.depthwise_conv(gated)))
        mixed: Tensor = self.dropout(self.pointwise_conv2(activated))
        return mixed.transpose(1, 2)


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, a convolution, and the other half.

    Args:
        dim: width of the hidden states.
        heads: of the attention.
        inner: width of the feed-forward layers.
        kernel: taps of the convolution.
    """

    def __init__(self, dim: int, heads: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.ffn1_layer_norm, self.ffn1 = nn.LayerNorm(dim), FeedForward(dim, inner)
        self.self_attn_layer_norm, self.self_attn = nn.LayerNorm(dim), RotaryAttention(dim, heads)
        self.self_attn_dropout = nn.Dropout(_DROPOUT)
        self.conv_module = Convolution(dim, kernel)
        self.ffn2_layer_norm, self.ffn2 = nn.LayerNorm(dim), FeedForward(dim, inner)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Map ``[B, T, dim]`` to ``[B, T, dim]``; `table` as in `RotaryAttention`."""
        hidden = self.ffn1(self.ffn1_layer_norm(hidden)) * 0.5 + hidden
        heard = self.self_attn(self.self_attn_layer_norm(hidden), table)
        hidden = self.self_attn_dropout(heard) + hidden
        hidden = hidden + self.conv_module(hidden)
        hidden = self.ffn2(self.ffn2_layer_norm(hidden)) * 0.5 + hidden
        normed: Tensor = self.final_layer_norm(hidden)
        return normed
