"""The reasoning branch: a transformer over merged features, read at inserted query tokens.

In weight files its parameters are called ``thinking``, after the published audio thinking.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uniaudio2.codec.features import concat_frames
from uniaudio2.codec.rotary import rotary_table, rotate
from uniaudio2.config import CodecConfig
from uniaudio2.runtime.attention import attention
from uniaudio2.runtime.frame_conv import patch_linear

_SMALLEST_ROTARY = 32
_WHISPER_STRIDE = 2


class ReasoningBlock(nn.Module):
    """Transformer layer: attention and a sigmoid-gated feed-forward, each scaled per channel.

    There are no input norms.

    Args:
        dim: width of the sequence.
        head_dim: width of a head, at least 32; the first ``max(head_dim / 2, 32)`` channels rotate.

    Raises:
        ValueError: `head_dim` is too small or does not divide `dim`.
    """

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        if head_dim < _SMALLEST_ROTARY or dim % head_dim:
            raise ValueError(
                f"query_head_dim {head_dim} must be at least {_SMALLEST_ROTARY} and divide "
                f"dim {dim}; change one of them"
            )
        self.head_dim = head_dim
        self.rotary_width = max(head_dim // 2, _SMALLEST_ROTARY)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_norm = nn.LayerNorm(head_dim)
        self.k_norm = nn.LayerNorm(head_dim)
        self.out = nn.Linear(dim, dim, bias=False)
        self.attention_scale = nn.Parameter(torch.ones(dim))
        self.mlp_in = nn.Linear(dim, 8 * dim)
        self.mlp_out = nn.Linear(4 * dim, dim)
        self.mlp_scale = nn.Parameter(torch.ones(dim))

    def attend(self, sequence: Tensor) -> Tensor:
        """Self-attention without a mask: ``[B, S, dim]`` to the same shape."""
        heads = self.qkv(sequence).unflatten(-1, (3, -1, self.head_dim))  # [B, S, 3, H, head_dim]
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, H, S, head_dim]
        table = rotary_table(sequence.shape[1], self.rotary_width, sequence.device)
        mixed = attention(rotate(self.q_norm(query), table), rotate(self.k_norm(key), table), value)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def forward(self, sequence: Tensor) -> Tensor:
        sequence = sequence + self.attention_scale * self.attend(sequence)
        value, gate = self.mlp_in(sequence).chunk(2, dim=-1)
        changed: Tensor = self.mlp_out(value * gate.sigmoid())
        return sequence + self.mlp_scale * changed


class ReasoningBranch(nn.Module):
    """Turns Whisper and music features into one vector per query interval.

    Args:
        config: the codec's configuration.
        whisper_dim: channels of the Whisper features.
        music_dim: channels of the MusicFM features.
    """

    def __init__(self, config: CodecConfig, whisper_dim: int, music_dim: int) -> None:
        super().__init__()
        self.interval = config.query_interval
        self.down = nn.Conv1d(whisper_dim, whisper_dim, _WHISPER_STRIDE, stride=_WHISPER_STRIDE)
        self.merge_linear = nn.Linear(whisper_dim + music_dim, config.dim)
        self.query_token = nn.Parameter(torch.empty(1, config.dim))
        nn.init.normal_(self.query_token)
        self.blocks = nn.ModuleList(
            ReasoningBlock(config.dim, config.query_head_dim) for _ in range(config.query_layers)
        )

    def merge(self, whisper: Tensor, semantic: Tensor) -> Tensor:
        """Merge ``[B, Dw, 2 T]`` and ``[B, Dm, T]`` at 25 Hz: ``[B, T, dim]``."""
        heard = patch_linear(self.down, whisper.transpose(1, 2))  # [B, T, Dw]
        merged: Tensor = self.merge_linear(concat_frames(heard, semantic.transpose(1, 2)))
        return merged

    def insert_queries(self, frames: Tensor) -> Tensor:
        """Put the query token after every interval: ``[B, T, dim]``, T a multiple of the interval,
        to ``[B, T + T / interval, dim]``."""
        batch, length, dim = frames.shape
        groups = frames.reshape(batch, length // self.interval, self.interval, dim)
        queries = self.query_token.expand(*groups.shape[:2], 1, -1)  # [B, G, 1, dim]
        return torch.cat([groups, queries], dim=2).flatten(1, 2)

    def read_queries(self, sequence: Tensor) -> Tensor:
        """Take the positions of the query tokens: ``[B, G * (interval + 1), dim]`` to
        ``[B, G, dim]``."""
        return sequence[:, self.interval :: self.interval + 1]

    def forward(self, whisper: Tensor, semantic: Tensor) -> Tensor:
        """Compute one vector per query interval.

        Args:
            whisper: ``[B, whisper_dim, 2 T]`` float32 at 50 Hz.
            semantic: ``[B, music_dim, T]`` float32 at 25 Hz, T a multiple of the query interval.

        Returns:
            ``[B, T / interval, dim]`` float32, what the reasoning quantizer reads.
        """
        sequence = self.insert_queries(self.merge(whisper, semantic))
        for block in self.blocks:
            sequence = block(sequence)
        return self.read_queries(sequence)
