"""WavLM's hidden states, from the model's weights by arithmetic that fits a cache.

Its own forward makes the scores of all heads at once, thrice, and the maps of its convolutions at
the rate of samples for a whole segment. Here the convolutions run over short spans of the wave and
attention over blocks; the numbers are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.encoders.wavlm import WavLM
from uniaudio2.codec.stock_layers import feed_forward
from uniaudio2.runtime.attention import attention
from uniaudio2.runtime.frame_conv import frame_conv

_SPAN_FRAMES = 100  # that the convolutions make at once on a CPU


def wavlm_average(
    model: WavLM, wave: Tensor, layers: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Average hidden states.

    Args:
        model: with as many layers as the deepest of the states needs.
        wave: ``[B, N]`` float32 at 16 kHz, not normalised.
        layers: which hidden states; 0 is what the first layer reads.
        dtype: that the convolutions multiply; linear layers multiply what they are packed in.

    Returns:
        ``[B, T, dim]`` float32, a frame for every 320 samples.
    """
    if torch.is_grad_enabled():
        hidden = model(wave)
        return torch.stack([hidden[layer] for layer in layers]).mean(dim=0)
    total = None
    for number, states in enumerate(_hidden_states(model, wave, dtype)):
        if weight := list(layers).count(number):
            total = weight * states if total is None else total.add_(states, alpha=weight)
    if total is None:
        raise ValueError("no hidden state is named; wavlm_layers must name at least one")
    return total.div_(len(layers))


def _hidden_states(model: WavLM, wave: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """Each ``[B, T, dim]``: what the first layer reads, then what every layer makes of it."""
    encoder: Any = model.encoder  # a list of layers has no types
    heard = torch.stack([_frames(model.feature_extractor, one, dtype) for one in wave])
    states = model.feature_projection(heard)
    states = encoder.layer_norm(states + _positions(encoder.pos_conv_embed, states))
    yield states
    bias = _distance_bias(encoder.layers[0].attention, states.shape[1])
    for layer in encoder.layers:
        states = layer.layer_norm(states + _attend(layer.attention, states, bias))
        states = layer.final_layer_norm(states + feed_forward(layer.feed_forward, states))
        yield states


def _positions(stock: Any, states: Tensor) -> Tensor:
    """The convolution that tells a frame where it is: ``[B, T, dim]`` to the same shape."""
    conv = stock.conv
    made = frame_conv(states, conv.weight, conv.bias, padding=conv.padding[0], groups=conv.groups)[
        :, : states.shape[1]
    ]  # an even kernel makes a frame too many
    activated: Tensor = stock.activation(made)
    return activated


def _distance_bias(stock: Any, frames: int) -> Tensor:
    """Bias ``[H, 2 T - 1]`` of keys ``T - 1`` frames before a query to ``T - 1`` after it."""
    before, after = stock.compute_bias(frames, 1)[..., 0], stock.compute_bias(1, frames)[:, 0]
    return torch.cat([before.flip(1), after[:, 1:]], dim=1)


def _attend(stock: Any, states: Tensor, bias: Tensor) -> Tensor:
    """Self-attention whose bias of distances every query gates for itself."""
    by_head = (stock.num_heads, stock.head_dim)
    query, key, value = (
        layer(states).unflatten(-1, by_head).transpose(1, 2)  # [B, H, T, head_dim]
        for layer in (stock.q_proj, stock.k_proj, stock.v_proj)
    )
    # The stock layer adds four outputs to each of two gates: their weights may be added instead.
    linear = stock.gru_rel_pos_linear
    weight, offset = linear.weight.view(2, 4, -1).sum(1), linear.bias.view(2, 4).sum(1)
    own = states.view(*states.shape[:2], *by_head).transpose(1, 2)
    opened, scaled = functional.linear(own, weight, offset).sigmoid().chunk(2, dim=-1)
    gate = opened * (scaled * stock.gru_rel_pos_const - 1.0) + 2.0  # [B, H, T, 1]
    mixed = attention(query, key, value, gate=gate, bias=bias)
    joined: Tensor = stock.out_proj(mixed.transpose(1, 2).flatten(2))
    return joined


def _frames(extractor: Any, wave: Tensor, dtype: torch.dtype) -> Tensor:
    """Run the convolutions over a wave, a span after the other: ``[N]`` to ``[T, channels]``."""
    first, *others = extractor.conv_layers
    weight, offset = _first_convolution(first, wave)
    kernels = [
        (conv.weight.to(dtype), None if conv.bias is None else conv.bias.to(dtype))
        for conv in (layer.conv for layer in others)
    ]
    hop, reach = 1, 1
    for layer in extractor.conv_layers:
        reach += (layer.conv.kernel_size[0] - 1) * hop
        hop *= layer.conv.stride[0]
    count = (len(wave) - reach) // hop + 1
    at_once = _SPAN_FRAMES if wave.device.type == "cpu" else count
    spans = []
    for start in range(0, count, at_once):
        stop = min(start + at_once, count)
        samples = wave[None, None, start * hop : (stop - 1) * hop + reach]
        maps = functional.conv1d(samples, weight, offset, stride=first.conv.stride)
        if not isinstance(first.layer_norm, nn.GroupNorm):
            maps = first.layer_norm(maps.mT).mT
        maps = first.activation(maps)
        for layer, (kernel, shift) in zip(others, kernels, strict=True):
            maps = functional.conv1d(maps.to(dtype), kernel, shift, stride=layer.conv.stride)
            if hasattr(layer, "layer_norm"):
                maps = layer.layer_norm(maps.mT.float()).mT
            maps = layer.activation(maps)
        spans.append(maps[0].t().float())
    return torch.cat(spans)


def _first_convolution(layer: Any, wave: Tensor) -> tuple[Tensor, Tensor | None]:
    """The first convolution and the norm behind it as one convolution of this wave.

    The norm scales every channel by its mean and variance over the whole wave. Both follow from
    the mean and the covariance of the samples under a kernel, so no map of them is needed.

    Returns:
        weight ``[channels, 1, kernel]`` and bias ``[channels]``.
    """
    conv, norm = layer.conv, layer.layer_norm
    if not isinstance(norm, nn.GroupNorm):
        return conv.weight, conv.bias
    heard = wave.unfold(-1, conv.kernel_size[0], conv.stride[0]).double()  # [N', kernel]
    mean = heard.mean(0)
    centred = heard - mean
    covariance = centred.t() @ centred / len(heard)
    kernel = conv.weight[:, 0].double()  # [channels, kernel]; a bias would be normed away
    variance = ((kernel @ covariance) * kernel).sum(-1).clamp(min=0.0)
    scaled = kernel * (norm.weight / (variance + norm.eps).sqrt())[:, None]
    offset = norm.bias - scaled @ mean
    return scaled[:, None].to(wave.dtype), offset.to(wave.dtype)
