"""Layers of Whisper and conformer encoders, computed without what inference does not need.

The parameters are those of the modules in `encoders`. Attention goes through `attention`,
convolutions leave channels side by side, batch norms are part of the convolution before them; the
numbers are those of their own forward up to rounding, which runs with gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.rotary import rotate
from uniaudio2.runtime.attention import attention
from uniaudio2.runtime.frame_conv import frame_conv, patch_linear
from uniaudio2.runtime.packed_linear import linear


def whisper_layer(stock: Any, states: Tensor) -> Tensor:
    """Run a layer of Whisper's encoder: ``[B, T, dim]`` to the same shape."""
    if torch.is_grad_enabled():
        changed: Tensor = stock(states)
        return changed
    own = stock.self_attn
    normed = stock.self_attn_layer_norm(states)
    query, key, value = (
        layer(normed).unflatten(-1, (own.num_heads, -1)).transpose(1, 2)  # [B, H, T, head_dim]
        for layer in (own.q_proj, own.k_proj, own.v_proj)
    )
    mixed = attention(query, key, value, own.scaling)
    states = states + own.out_proj(mixed.transpose(1, 2).flatten(2))
    inner = activated(stock.fc1, stock.activation_fn, stock.final_layer_norm(states))
    made: Tensor = stock.fc2(inner)
    return made.add_(states)


def conformer_layer(stock: Any, states: Tensor, table: Tensor) -> Tensor:
    """Run a layer of MusicFM's conformer.

    Args:
        stock: the layer, with rotary positions.
        states: ``[B, T, dim]``.
        table: ``[2, T, head_dim]``, rotations.

    Returns:
        ``[B, T, dim]``.
    """
    if torch.is_grad_enabled():
        changed: Tensor = stock(states, table[:, :, None, None])
        return changed
    states = states.add(feed_forward(stock.ffn1, stock.ffn1_layer_norm(states)), alpha=0.5)
    states.add_(_rotary_attention(stock.self_attn, stock.self_attn_layer_norm(states), table))
    states.add_(_convolution(stock.conv_module, states))
    states.add_(feed_forward(stock.ffn2, stock.ffn2_layer_norm(states)), alpha=0.5)
    normed: Tensor = stock.final_layer_norm(states)
    return normed


def feed_forward(stock: Any, states: Tensor) -> Tensor:
    """Run two linear layers with an activation between: ``[B, T, dim]`` to the same."""
    inner = activated(stock.intermediate_dense, stock.intermediate_act_fn, states)
    made: Tensor = stock.output_dense(inner)
    return made


def activated(layer: nn.Module, activation: nn.Module, states: Tensor) -> Tensor:
    """Apply a linear layer and an activation, in one pass where oneDNN knows it."""
    if isinstance(activation, nn.GELU):
        return linear(layer, states, "gelu")
    if isinstance(activation, nn.SiLU):
        return linear(layer, states, "silu")
    made: Tensor = activation(layer(states))
    return made


def _rotary_attention(stock: Any, states: Tensor, table: Tensor) -> Tensor:
    """Attention whose queries and keys see rotated states (published: before the projection)."""
    by_head = (stock.num_heads, stock.head_size)
    turned = rotate(states.view(*states.shape[:2], *by_head), table[:, :, None]).flatten(2)
    query, key, value = (
        layer(own).unflatten(-1, by_head).transpose(1, 2)  # [B, H, T, head_dim]
        for layer, own in (
            (stock.linear_q, turned),
            (stock.linear_k, turned),
            (stock.linear_v, states),
        )
    )
    mixed = attention(query, key, value, stock.scaling)
    joined: Tensor = stock.linear_out(mixed.transpose(1, 2).flatten(2))
    return joined


def _convolution(stock: Any, states: Tensor) -> Tensor:
    """The conformer's convolution module, its batch norm folded into the depthwise kernel."""
    gated = functional.glu(patch_linear(stock.pointwise_conv1, stock.layer_norm(states)), dim=-1)
    depthwise, norm = stock.depthwise_conv, stock.batch_norm
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    made = frame_conv(
        gated,
        depthwise.weight * scale[:, None, None],
        norm.bias - norm.running_mean * scale,
        padding=depthwise.padding[0],
        groups=depthwise.groups,
    )
    return patch_linear(stock.pointwise_conv2, functional.silu(made, inplace=True))
