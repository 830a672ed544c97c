"""WavLM, base family, up to the last hidden state in use, under the names that its weights have.

Why it is not imported is told in `whisper`; `tests/uniaudio2/codec/encoders/test_wavlm.py` holds it
equal to the library's, bit for bit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.encoders.settings import WavLMSettings


class ConvLayer(nn.Module):
    """A strided convolution over time, with a norm of each channel in the first of them.

    Args:
        settings: channels, kernels and strides of all layers.
        number: of this one, from 0.
    """

    def __init__(self, settings: WavLMSettings, number: int) -> None:
        super().__init__()
        before = settings.conv_dim[number - 1] if number else 1
        channels = settings.conv_dim[number]
        kernel, stride = settings.conv_kernel[number], settings.conv_stride[number]
        self.conv = nn.Conv1d(before, channels, kernel, stride, bias=settings.conv_bias)
        self.activation = nn.GELU()
        if number == 0:
            self.layer_norm = nn.GroupNorm(channels, channels)

    def forward(self, heard: Tensor) -> Tensor:
        """Map ``[B, channels before, N]`` to ``[B, channels, about N / stride]``."""
        heard = self.conv(heard)
        activated: Tensor = self.activation(
            self.layer_norm(heard) if hasattr(self, "layer_norm") else heard
        )
        return activated


class FeatureExtractor(nn.Module):
    """Samples to channels at 50 Hz."""

    def __init__(self, settings: WavLMSettings) -> None:
        super().__init__()
        count = len(settings.conv_dim)
        self.conv_layers = nn.ModuleList(ConvLayer(settings, number) for number in range(count))

    def forward(self, wave: Tensor) -> Tensor:
        """Map ``[B, N]`` to ``[B, T, channels]``."""
        heard = wave[:, None]
        for layer in self.conv_layers:
            heard = layer(heard)
        return heard.transpose(1, 2)


class FeatureProjection(nn.Module):
    """Channels to the width of the hidden states."""

    def __init__(self, settings: WavLMSettings) -> None:
        super().__init__()
        channels = settings.conv_dim[-1]
        self.layer_norm = nn.LayerNorm(channels, eps=settings.layer_norm_eps)
        self.projection = nn.Linear(channels, settings.hidden_size)
        self.dropout = nn.Dropout(settings.feat_proj_dropout)

    def forward(self, heard: Tensor) -> Tensor:
        """Map ``[B, T, channels]`` to ``[B, T, hidden size]``."""
        projected: Tensor = self.dropout(self.projection(self.layer_norm(heard)))
        return projected


class NormedWeight(nn.Module):
    """A kernel as a direction and a length for each of its taps.

    Args:
        shape: ``[channels out, channels in, taps]``.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.original0 = nn.Parameter(torch.ones(1, 1, shape[-1]))
        self.original1 = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.original1, a=math.sqrt(5))

    def forward(self) -> Tensor:
        """The kernel."""
        return torch._weight_norm(self.original1, self.original0, 2)


class NormedConvolution(nn.Module):
    """A grouped convolution whose weight is normed, under the names of a torch parametrization,
    which would compute the weight once where there are no numbers yet.

    Args:
        dim: channels.
        kernel: taps.
        groups: of channels.
    """

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups, self.padding = groups, (kernel // 2,)
        weight = NormedWeight((dim, dim // groups, kernel))
        self.parametrizations = nn.ModuleDict({"weight": weight})
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, channels: Tensor) -> Tensor:
        """Map ``[B, dim, T]`` to ``[B, dim, T + 1 - kernel % 2]``."""
        return functional.conv1d(
            channels, self.weight, self.bias, padding=self.padding, groups=self.groups
        )

    @property
    def weight(self) -> Tensor:
        """The kernel ``[dim, dim / groups, taps]``."""
        made: Tensor = self.parametrizations["weight"]()
        return made


class PositionalConvolution(nn.Module):
    """Tells positions by what surrounds them: a wide grouped convolution with a normed weight."""

    def __init__(self, settings: WavLMSettings) -> None:
        super().__init__()
        kernel, dim = settings.num_conv_pos_embeddings, settings.hidden_size
        self.conv = NormedConvolution(dim, kernel, settings.num_conv_pos_embedding_groups)
        self.activation = nn.GELU()
        self.too_many = 1 - kernel % 2  # frames of a kernel of even width

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``[B, T, hidden size]`` to ``[B, T, hidden size]``."""
        around = self.conv(hidden.transpose(1, 2))
        around = around[..., : around.shape[-1] - self.too_many]
        activated: Tensor = self.activation(around)
        return activated.transpose(1, 2)


class GatedAttention(nn.Module):
    """Attention with a learned bias by distance, which each position opens or closes for itself.

    Args:
        settings: sizes, and how many distances are told apart.
        is_first: it holds the table of biases that all layers use.
    """

    def __init__(self, settings: WavLMSettings, is_first: bool) -> None:
        super().__init__()
        dim, heads = settings.hidden_size, settings.num_attention_heads
        self.num_heads, self.head_dim = heads, dim // heads
        self.dropout = settings.attention_dropout
        self.buckets, self.longest = settings.num_buckets, settings.max_bucket_distance
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            nn.Linear(dim, dim) for _ in range(4)
        )
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.gru_rel_pos_linear = nn.Linear(dim // heads, 8)
        if is_first:
            self.rel_attn_embed = nn.Embedding(settings.num_buckets, heads)

    def compute_bias(self, queries: int, keys: int) -> Tensor:
        """The table's biases by head and pair of positions: ``[heads, queries, keys]``."""
        device = self.rel_attn_embed.weight.device
        places = torch.arange(queries, device=device), torch.arange(keys, device=device)
        values: Tensor = self.rel_attn_embed(self._bucket(places[1][None] - places[0][:, None]))
        return values.permute(2, 0, 1)

    def _bucket(self, distance: Tensor) -> Tensor:
        """Numbers of distances: short ones each, long ones by their logarithm, by direction."""
        count = self.buckets // 2
        exact = count // 2
        far = distance.abs()
        share = torch.log(far.float() / exact) / math.log(self.longest / exact)
        logarithmic = (exact + share * (count - exact)).to(torch.long).clamp(max=count - 1)
        return (distance > 0).long() * count + torch.where(far < exact, far, logarithmic)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Attend.

        Args:
            hidden: ``[B, T, dim]``.
            bias: ``[heads, T, T]``.

        Returns:
            ``[B, T, dim]``.
        """
        dim = hidden.shape[-1]
        mask = (self._gate(hidden) * bias).flatten(0, 1)  # [B heads, T, T]
        turned = hidden.transpose(0, 1)
        heard, _ = functional.multi_head_attention_forward(
            turned, turned, turned, dim, self.num_heads, torch.empty([0]),
            torch.cat((self.q_proj.bias, self.k_proj.bias, self.v_proj.bias)), None, None, False,
            self.dropout, self.out_proj.weight, self.out_proj.bias, self.training,
            need_weights=True,  # the way whose sums the published model's are
            attn_mask=mask, use_separate_proj_weight=True, q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight,
        )  # fmt: skip
        return heard.transpose(0, 1)

    def _gate(self, hidden: Tensor) -> Tensor:
        """How much of its biases each position takes: ``[B, heads, T, 1]``."""
        heads = hidden.view(*hidden.shape[:2], self.num_heads, -1).transpose(
            1, 2
        )  # [B, heads, T, dim / heads]
        told = self.gru_rel_pos_linear(heads).view(*heads.shape[:3], 2, 4).sum(-1)
        reset, update = torch.sigmoid(told).chunk(2, dim=-1)
        gate: Tensor = reset * (update * self.gru_rel_pos_const - 1.0) + 2.0
        return gate


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, settings: WavLMSettings) -> None:
        super().__init__()
        dim, inner = settings.hidden_size, settings.intermediate_size
        self.intermediate_dense, self.output_dense = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.intermediate_act_fn = nn.GELU()
        self.inner_dropout = nn.Dropout(settings.activation_dropout)
        self.dropout = nn.Dropout(settings.hidden_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``[B, T, dim]`` to ``[B, T, dim]``."""
        inner = self.inner_dropout(self.intermediate_act_fn(self.intermediate_dense(hidden)))
        outer: Tensor = self.dropout(self.output_dense(inner))
        return outer


class WavLMLayer(nn.Module):
    """A transformer layer that normalises behind each of its halves."""

    def __init__(self, settings: WavLMSettings, is_first: bool) -> None:
        super().__init__()
        dim, eps = settings.hidden_size, settings.layer_norm_eps
        self.attention = GatedAttention(settings, is_first)
        self.dropout = nn.Dropout(settings.hidden_dropout)
        self.layer_norm = nn.LayerNorm(dim, eps=eps)
        self.feed_forward = FeedForward(settings)
        self.final_layer_norm = nn.LayerNorm(dim, eps=eps)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Map ``[B, T, dim]`` to ``[B, T, dim]``; `bias` as in `GatedAttention`."""
        hidden = self.layer_norm(hidden + self.dropout(self.attention(hidden, bias)))
        normed: Tensor = self.final_layer_norm(hidden + self.feed_forward(hidden))
        return normed


class WavLMEncoder(nn.Module):
    """The layers, and what tells them positions."""

    def __init__(self, settings: WavLMSettings, depth: int) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConvolution(settings)
        self.layer_norm = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)
        self.dropout = nn.Dropout(settings.hidden_dropout)
        self.layers = nn.ModuleList(WavLMLayer(settings, number == 0) for number in range(depth))

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """Every hidden state ``[B, T, dim]``: the first layer's input, and what each gave."""
        hidden = self.dropout(self.layer_norm(hidden + self.pos_conv_embed(hidden)))
        first: WavLMLayer = self.layers[0]  # type: ignore[assignment] # of a list of such
        states, bias = [hidden], first.attention.compute_bias(hidden.shape[1], hidden.shape[1])
        for layer in self.layers:
            states.append(layer(states[-1], bias))
        return states


class WavLM(nn.Module):
    """Waves at 16 kHz to hidden states at 50 Hz.

    Args:
        settings: sizes.
        depth: layers that are built.
    """

    def __init__(self, settings: WavLMSettings, depth: int) -> None:
        super().__init__()
        self.feature_extractor = FeatureExtractor(settings)
        self.feature_projection = FeatureProjection(settings)
        self.encoder = WavLMEncoder(settings, depth)

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Compute every hidden state.

        Args:
            wave: ``[B, N]`` float32 at 16 kHz, not normalised.

        Returns:
            ``depth + 1`` of ``[B, T, hidden size]`` float32.
        """
        states: list[Tensor] = self.encoder(self.feature_projection(self.feature_extractor(wave)))
        return states
