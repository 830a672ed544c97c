"""Whisper's encoder, up to its last hidden state, under the names that its weights have.

The layers alone, in torch alone: the library that publishes the whole family of models spends
seconds on imports that an encoder never uses. `tests/uniaudio2/codec/encoders/test_whisper.py`
holds both equal, bit for bit.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.encoders.settings import WhisperSettings


class SelfAttention(nn.Module):
    """Attention of all positions on all positions; queries are scaled before they are compared.

    Args:
        dim: width of the hidden states.
        heads: of equal width.
        dropout: of the attention's weights, in training.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = heads, dropout
        self.scaling = (dim // heads) ** -0.5
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj, self.q_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(3))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``[B, T, dim]`` to ``[B, T, dim]``."""
        queries, keys, values = (
            projected.view(*hidden.shape[:2], self.num_heads, -1).transpose(1, 2).contiguous()
            for projected in (
                self.q_proj(hidden) * self.scaling, self.k_proj(hidden), self.v_proj(hidden)
            )
        )  # fmt: skip  # [B, heads, T, dim / heads]
        heard = functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=self.dropout if self.training else 0.0, scale=1.0
        )
        joined: Tensor = self.out_proj(heard.transpose(1, 2).flatten(2))
        return joined


class WhisperLayer(nn.Module):
    """A transformer layer that normalises before each of its halves.

    Args:
        settings: sizes and dropout.
    """

    def __init__(self, settings: WhisperSettings) -> None:
        super().__init__()
        dim, inner = settings.d_model, settings.encoder_ffn_dim
        self.self_attn = SelfAttention(
            dim, settings.encoder_attention_heads, settings.attention_dropout
        )
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.activation_fn = nn.GELU()
        self.fc1, self.fc2 = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.inner_dropout = nn.Dropout(settings.activation_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``[B, T, d_model]`` to ``[B, T, d_model]``."""
        hidden = hidden + self.dropout(self.self_attn(self.self_attn_layer_norm(hidden)))
        inner = self.activation_fn(self.fc1(self.final_layer_norm(hidden)))
        mixed: Tensor = hidden + self.dropout(self.fc2(self.inner_dropout(inner)))
        return mixed


class WhisperEncoder(nn.Module):
    """Mels to hidden states at 50 Hz; mels may be shorter than what the published one insists on.

    Args:
        settings: sizes.
        positions: hidden states of a whole segment.
    """

    def __init__(self, settings: WhisperSettings, positions: int) -> None:
        super().__init__()
        dim = settings.d_model
        self.conv1 = nn.Conv1d(settings.num_mel_bins, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(positions, dim)
        self.layers = nn.ModuleList(WhisperLayer(settings) for _ in range(settings.encoder_layers))
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, mel: Tensor) -> Tensor:
        """Compute the last hidden state.

        Args:
            mel: ``[B, mel bands, 2 T]`` float32, at most a segment long.

        Returns:
            ``[B, T, d_model]`` float32.
        """
        heard = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        hidden = heard + self.embed_positions.weight[: heard.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden)
        normed: Tensor = self.layer_norm(hidden)
        return normed
