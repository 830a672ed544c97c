"""The language model: understanding expert, backbone, generation expert and local decoder.

Three stacks run one after the other over the same row sequence; a row is text or audio. The
local decoder then spells out the eight codebooks of one audio frame. Source: published
``Model_stage3``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniaudio2.config import CODEBOOKS, LmConfig, StackConfig
from uniaudio2.lm.kv_cache import KvCache, LmCache, Place
from uniaudio2.lm.transformer import Transformer
from uniaudio2.runtime.packed_linear import PackedSpans, is_packable, pack_linears
from uniaudio2.runtime.transfers import send
from uniaudio2.tokens.grid import AUDIO, TEXT, TEXT_COLUMN

LogitsOf = Callable[[Tensor | None, int, int], Tensor]
"""Logits of some rows (int64, None for all) and of the ids from the first to before the last."""

Pick = Callable[[int, LogitsOf], Tensor]
"""Chooses ids ``[B]`` of one codebook; it computes the logits that it needs and no others."""


@dataclass(frozen=True)
class Taught:
    """Logits under teacher forcing.

    Attributes:
        text: ``[B, S, text_vocab]``, the prediction that every row makes.
        audio: ``[N, 8, A]`` for the N audio rows that follow a row, in row-major order.
        labels: ``[N, 8]`` int64, the ids of those rows.
    """

    text: Tensor
    audio: Tensor
    labels: Tensor


class UniAudioLM(nn.Module):
    """Text and audio frames in, text and audio frames out.

    Args:
        config: sizes, cards and markers.
    """

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.config = config

        def stack(sizes: StackConfig, context: int) -> Transformer:
            return Transformer(sizes, config.norm_eps, config.rope, context)

        dim, local_dim = config.backbone.dim, config.local_decoder.dim
        self.text_embedding = nn.Embedding(config.text_vocab, dim)
        self.audio_embedding = nn.Embedding(CODEBOOKS * config.audio_vocab, dim)
        self.understanding_expert = stack(config.understanding_expert, config.context)
        self.backbone = stack(config.backbone, config.context)
        self.generation_expert = stack(config.generation_expert, config.context)
        self.text_head = nn.Linear(dim, config.text_vocab, bias=False)
        self.projection = nn.Linear(dim, local_dim, bias=False)
        self.local_decoder = stack(config.local_decoder, CODEBOOKS)
        self.audio_head = nn.Parameter(torch.empty(CODEBOOKS, local_dim, config.audio_vocab))
        nn.init.normal_(self.audio_head, std=local_dim**-0.5)
        self._packed_head: PackedSpans | None = None

    @property
    def device(self) -> torch.device:
        return self.audio_head.device

    def pack(self) -> None:
        """Lay weights out for fast products on a CPU; afterwards the model is for inference
        alone, where it is and as it is. A model that is elsewhere stays as it was."""
        pack_linears(self, few_rows=True)
        if is_packable(self.audio_head):
            self._packed_head = PackedSpans(self.audio_head)

    def _apply(self, fn: Any, recurse: bool = True) -> UniAudioLM:
        self._packed_head = None  # as `PackedLinear` has it: it would stay behind
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch's own
        return self

    # ---- whole sequences -----------------------------------------------------------------

    def hidden(
        self, tokens: Tensor, kind: Tensor, cache: LmCache | None = None, start: int = 0
    ) -> Tensor:
        """Run whole row sequences, or a piece of them.

        Args:
            tokens: ``[B, S, 9]`` int64.
            kind: ``[B, S]`` uint8, padding at the right end.
            cache: filled with the rows' keys and values when given.
            start: position of the first row; the cache holds what is before it.

        Returns:
            ``[B, S, D]``: what text head and local decoder read.
        """
        is_audio = (kind == AUDIO)[..., None]  # [B, S, 1]
        is_text = (kind == TEXT)[..., None]
        heard = self._embed_audio(tokens) * is_audio
        heard = self.understanding_expert(heard, cache and cache.understanding_expert, start)
        texts = self.text_embedding(tokens[..., TEXT_COLUMN])
        mixed = heard * is_audio + texts * is_text
        thought = self.backbone(mixed, cache and cache.backbone, start)
        own_cache = cache and cache.generation_expert
        spoken = self.generation_expert(thought * is_audio, own_cache, start)
        hidden: Tensor = spoken * is_audio + thought * is_text
        return hidden

    def forward(self, tokens: Tensor, kind: Tensor) -> Taught:
        """Teacher forcing: predict row i + 1 from rows 0..i.

        Args:
            tokens: ``[B, S + 1, 9]`` int64.
            kind: ``[B, S + 1]`` uint8.
        """
        hidden = self.hidden(tokens[:, :-1], kind[:, :-1])  # [B, S, D]
        is_target = kind[:, 1:] == AUDIO
        labels = tokens[:, 1:, :CODEBOOKS][is_target]  # [N, 8]
        audio = self.audio_logits(hidden[is_target], labels)
        return Taught(self.text_head(hidden), audio, labels)

    def audio_logits(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Logits of every codebook, given the true ids of the codebooks before it.

        Args:
            hidden: ``[N, D]`` rows that predict a frame.
            labels: ``[N, 8]`` int64 ids of that frame.

        Returns:
            ``[N, 8, A]``.
        """
        spelled = self.audio_embedding(self._table_rows(labels[:, :-1]))  # [N, 7, D]
        inputs = torch.cat([hidden[:, None], spelled], dim=1)
        outputs = self.local_decoder(self.projection(inputs))  # [N, 8, Dlocal]
        return torch.einsum("ncd,cda->nca", outputs, self.audio_head)

    # ---- one row at a time ---------------------------------------------------------------

    def new_cache(self, batch: int, length: int) -> LmCache:
        """Make room for `length` rows of `batch` sequences."""
        like = self.audio_head
        return LmCache(
            *(
                KvCache.allocate(stack.config, batch, length, like)
                for stack in (self.backbone, self.understanding_expert, self.generation_expert)
            )
        )

    @torch.no_grad()
    def prefill(
        self,
        tokens: Tensor,
        kind: Tensor,
        cache: LmCache,
        start: int = 0,
        after_audio: bool = False,
    ) -> None:
        """Store rows of right-padded prompts; no logits are computed.

        What padding stores is overwritten by `step` before it can be seen. Up to the first audio
        row the experts would store zeros, which the cache holds already, so they do not run.

        Args:
            tokens: ``[B, S, 9]`` int64: rows of the prompts, never their last.
            kind: ``[B, S]`` uint8, on any device.
            cache: of at least ``start + S`` rows, zero from `start` on.
            start: position of the first of these rows; the cache holds what is before it.
            after_audio: there is an audio row among those before.
        """
        if after_audio or bool((kind == AUDIO).any()):
            self.hidden(tokens, send(kind, tokens.device), cache, start)
        else:
            is_text = send((kind == TEXT)[..., None], tokens.device)
            self.backbone(
                self.text_embedding(tokens[..., TEXT_COLUMN]) * is_text, cache.backbone, start
            )

    @torch.no_grad()
    def step(
        self,
        tokens: Tensor,
        kind: Tensor,
        positions: Tensor,
        cache: LmCache,
        visible: int | None = None,
        only_text: bool = False,
    ) -> Tensor:
        """Run the next row of every sequence and store it.

        Args:
            tokens: ``[B, 9]`` int64.
            kind: ``[B]`` uint8.
            positions: ``[B]`` int64, where each row goes.
            cache: the rows before.
            visible: a bound on ``positions + 1``, so that attention reads no more of the cache
                than it must; the whole cache when None.
            only_text: all of these rows are text and no audio row will ever follow in any of
                the sequences, so nothing would read what the experts store: they are left out.

        Returns:
            ``[B, D]``: what text head and local decoder read.
        """
        length = cache.backbone.keys.shape[3]
        dtype = cache.backbone.keys.dtype
        place = Place.per_row(positions, min(visible or length, length), dtype)
        texts = self.text_embedding(tokens[:, TEXT_COLUMN])
        if only_text:
            return self.backbone.step(texts, cache.backbone, place)
        is_audio = (kind == AUDIO)[:, None]  # [B, 1]
        heard = self._embed_audio(tokens) * is_audio
        heard = self.understanding_expert.step(heard, cache.understanding_expert, place)
        mixed = torch.where(is_audio, heard, texts)
        thought = self.backbone.step(mixed, cache.backbone, place)
        spoken = self.generation_expert.step(thought * is_audio, cache.generation_expert, place)
        return torch.where(is_audio, spoken, thought)

    def spelling_cache(self, batch: int) -> KvCache:
        """Room for the frame that `spell` is at, for any number of frames one after the other."""
        stack = self.config.local_decoder
        return KvCache.allocate(stack, batch, CODEBOOKS, self.audio_head, zeroed=False)

    @torch.no_grad()
    def spell(self, hidden: Tensor, pick: Pick, cache: KvCache | None = None) -> Tensor:
        """Spell out the next frame, one codebook after the other.

        Args:
            hidden: ``[B, D]`` of `step`, audio-output rows only.
            pick: chooses the ids of a codebook; called for columns 0..7.
            cache: of `spelling_cache`, for at least B sequences; what it holds is overwritten.

        Returns:
            ``[B, 8]`` int64.
        """
        cache = (cache or self.spelling_cache(len(hidden))).first(len(hidden))
        columns: list[Tensor] = []
        for column in range(CODEBOOKS):
            inputs = self.projection(hidden)  # [B, Dlocal]
            outputs = self.local_decoder.step(inputs, cache, Place.shared(column))
            columns.append(pick(column, partial(self._logits, column, outputs)))
            if column + 1 < CODEBOOKS:
                hidden = self.audio_embedding(columns[-1] + column * self.config.audio_vocab)
        return torch.stack(columns, dim=1)

    def _logits(
        self, column: int, outputs: Tensor, rows: Tensor | None, first: int, stop: int
    ) -> Tensor:
        """`LogitsOf` a codebook from what the local decoder gave ``[B, Dlocal]``."""
        own = outputs if rows is None else outputs[rows]
        if self._packed_head:
            return self._packed_head.product(own, column, first, stop)
        return own @ self.audio_head[column, :, first:stop]

    # ---- embeddings ----------------------------------------------------------------------

    def _table_rows(self, ids: Tensor) -> Tensor:
        """Rows of the audio embedding: codebook c of ``[..., c]`` ids has its own span of it."""
        columns = torch.arange(ids.shape[-1], device=ids.device)
        return ids + columns * self.config.audio_vocab

    def _embed_audio(self, tokens: Tensor) -> Tensor:
        """Sum of the eight codebooks of rows ``[..., 9]``: ``[..., D]``."""
        rows = self._table_rows(tokens[..., :CODEBOOKS])
        table = self.audio_embedding.weight
        # a bag sums as it reads, so the [..., 8, D] of single embeddings never exists
        summed = F.embedding_bag(rows.flatten(end_dim=-2), table, mode="sum")
        return summed.view(*rows.shape[:-1], -1)
