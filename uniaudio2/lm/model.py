"""Implements the language model: two experts, the backbone between them, and the local decoder.

Three stacks run one after the other over the same positions; a position is text or audio. The
local decoder then generates the eight codebooks of one audio frame, depth by depth. Source:
published ``Model_stage3``.
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
from uniaudio2.lm.kv_cache import AttentionMetadata, KvCache, LmCache
from uniaudio2.lm.transformer import Look, Transformer
from uniaudio2.runtime.packed_linear import PackedColumns, is_packable, pack_linears
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.grid import AUDIO, TEXT, TEXT_COLUMN

LogitsFn = Callable[[Tensor | None, int, int], Tensor]
"""Computes logits of some sequences (int64, None for all), of the ids ``first`` to before ``stop``:
``[N, stop - first]``."""

SampleFn = Callable[[int, LogitsFn], Tensor]
"""Chooses ids ``[B]`` int64 at one depth; it computes the logits that it needs and no others."""


@dataclass(frozen=True)
class TeacherForcedLogits:
    """Logits under teacher forcing.

    Attributes:
        text: ``[B, S, text_vocab]``, the prediction that every position makes.
        audio: ``[N, 8, A]`` for the N audio positions that follow another, sequence by sequence.
        labels: ``[N, 8]`` int64, the ids at those positions.
    """

    text: Tensor
    audio: Tensor
    labels: Tensor


class UniAudioLM(nn.Module):
    """Reads text and audio tokens and predicts the next ones.

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
        self._packed_head: PackedColumns | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.audio_head.device

    def pack(self) -> None:
        """Lay weights out for fast products on a CPU; afterwards the model is for inference
        alone, where it is and as it is. A model that is elsewhere stays as it was."""
        pack_linears(self, small_batches=True)
        if is_packable(self.audio_head):
            self._packed_head = PackedColumns(self.audio_head)

    def _apply(self, fn: Any, recurse: bool = True) -> UniAudioLM:
        self._packed_head = None  # as `PackedLinear` has it: it would stay behind
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch's own
        return self

    # ---- whole sequences -----------------------------------------------------------------

    def hidden(
        self,
        tokens: Tensor,
        kind: Tensor,
        cache: LmCache | None = None,
        start: int = 0,
        look: Look | None = None,
    ) -> Tensor:
        """Run whole sequences, or a chunk of them.

        Args:
            tokens: ``[B, S, 9]`` int64.
            kind: ``[B, S]`` uint8, padding at the right end.
            cache: filled with keys and values when given.
            start: the first position; the cache holds those before it.
            look: is shown what every layer of the backbone attends with.

        Returns:
            ``[B, S, D]``: what text head and local decoder read.
        """
        is_audio = (kind == AUDIO)[..., None]  # [B, S, 1]
        is_text = (kind == TEXT)[..., None]
        audio = self._embed_audio(tokens) * is_audio
        audio = self.understanding_expert(audio, cache and cache.understanding_expert, start)
        text = self.text_embedding(tokens[..., TEXT_COLUMN])
        inputs = audio * is_audio + text * is_text
        outputs = self.backbone(inputs, cache and cache.backbone, start, look)
        expert_cache = cache and cache.generation_expert
        audio_outputs = self.generation_expert(outputs * is_audio, expert_cache, start)
        hidden: Tensor = audio_outputs * is_audio + outputs * is_text
        return hidden

    def forward(self, tokens: Tensor, kind: Tensor) -> TeacherForcedLogits:
        """Run teacher forcing: predict position i + 1 from positions 0..i.

        Args:
            tokens: ``[B, S + 1, 9]`` int64.
            kind: ``[B, S + 1]`` uint8.
        """
        hidden = self.hidden(tokens[:, :-1], kind[:, :-1])  # [B, S, D]
        is_target = kind[:, 1:] == AUDIO
        labels = tokens[:, 1:, :CODEBOOKS][is_target]  # [N, 8]
        audio = self.audio_logits(hidden[is_target], labels)
        return TeacherForcedLogits(self.text_head(hidden), audio, labels)

    def audio_logits(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Compute logits at every depth, given the true ids at the depths before it.

        Args:
            hidden: ``[N, D]`` of positions that predict a frame.
            labels: ``[N, 8]`` int64 ids of that frame.

        Returns:
            ``[N, 8, A]``.
        """
        before = self.audio_embedding(self._table_ids(labels[:, :-1]))  # [N, 7, D]
        inputs = torch.cat([hidden[:, None], before], dim=1)
        outputs = self.local_decoder(self.projection(inputs))  # [N, 8, Dlocal]
        return torch.einsum("ncd,cda->nca", outputs, self.audio_head)

    # ---- chunks of prompts, and single steps ---------------------------------------------

    def new_cache(self, sequences: int, length: int) -> LmCache:
        """Allocate `length` positions for each of `sequences` sequences."""
        like = self.audio_head
        return LmCache(
            *(
                KvCache.allocate(stack.config, sequences, length, like)
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
        """Store a chunk of right-padded prompts; no logits are computed.

        What padding stores is overwritten by `step` before it is attended to. Up to the first
        audio position the experts would store zeros, which the cache holds already, so they do
        not run.

        Args:
            tokens: ``[B, S, 9]`` int64: never the last position of a prompt.
            kind: ``[B, S]`` uint8, on any device.
            cache: of at least ``start + S`` positions, zero from `start` on.
            start: the first of these positions; the cache holds those before it.
            after_audio: there is an audio position among those before.
        """
        if after_audio or bool((kind == AUDIO).any()):
            self.hidden(tokens, to_device(kind, tokens.device), cache, start)
        else:
            is_text = to_device((kind == TEXT)[..., None], tokens.device)
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
        kv_length: int | None = None,
        only_text: bool = False,
    ) -> Tensor:
        """Run the next position of every sequence and store it.

        Args:
            tokens: ``[B, 9]`` int64.
            kind: ``[B]`` uint8.
            positions: ``[B]`` int64.
            cache: the positions before.
            kv_length: a bound on ``positions + 1``, so that attention reads no more of the cache
                than it must; the whole cache when None.
            only_text: all of these positions are text and no audio will ever follow in any of the
                sequences, so nothing would read what the experts store: they are left out.

        Returns:
            ``[B, D]``: what text head and local decoder read.
        """
        length = cache.backbone.keys.shape[3]
        dtype = cache.backbone.keys.dtype
        metadata = AttentionMetadata.per_sequence(
            positions, min(kv_length or length, length), dtype
        )
        text = self.text_embedding(tokens[:, TEXT_COLUMN])
        if only_text:
            return self.backbone.step(text, cache.backbone, metadata)
        is_audio = (kind == AUDIO)[:, None]  # [B, 1]
        audio = self._embed_audio(tokens) * is_audio
        audio = self.understanding_expert.step(audio, cache.understanding_expert, metadata)
        inputs = torch.where(is_audio, audio, text)
        outputs = self.backbone.step(inputs, cache.backbone, metadata)
        audio_outputs = self.generation_expert.step(
            outputs * is_audio, cache.generation_expert, metadata
        )
        return torch.where(is_audio, audio_outputs, outputs)

    def new_depth_cache(self, sequences: int) -> KvCache:
        """Allocate the local decoder's cache: a position per depth, used anew by every frame."""
        stack = self.config.local_decoder
        return KvCache.allocate(stack, sequences, CODEBOOKS, self.audio_head, zeroed=False)

    @torch.no_grad()
    def generate_frame(
        self, hidden: Tensor, sample: SampleFn, cache: KvCache | None = None
    ) -> Tensor:
        """Generate the next audio frame with the local decoder, one depth after the other.

        Args:
            hidden: ``[B, D]`` of `step`, of sequences with audio output only.
            sample: chooses the ids at a depth; called for depths 0..7.
            cache: of `new_depth_cache`, for at least B sequences; what it holds is overwritten.

        Returns:
            ``[B, 8]`` int64.
        """
        cache = (cache or self.new_depth_cache(len(hidden))).first(len(hidden))
        ids: list[Tensor] = []
        for depth in range(CODEBOOKS):
            inputs = self.projection(hidden)  # [B, Dlocal]
            outputs = self.local_decoder.step(inputs, cache, AttentionMetadata.shared(depth))
            ids.append(sample(depth, partial(self._logits, depth, outputs)))
            if depth + 1 < CODEBOOKS:
                hidden = self.audio_embedding(ids[-1] + depth * self.config.audio_vocab)
        return torch.stack(ids, dim=1)

    def _logits(
        self, depth: int, outputs: Tensor, sequences: Tensor | None, first: int, stop: int
    ) -> Tensor:
        """Compute logits (a `LogitsFn`) from what the local decoder gave ``[B, Dlocal]``."""
        own = outputs if sequences is None else outputs[sequences]
        if self._packed_head:
            return self._packed_head.product(own, depth, first, stop)
        return own @ self.audio_head[depth, :, first:stop]

    # ---- embeddings ----------------------------------------------------------------------

    def _table_ids(self, ids: Tensor) -> Tensor:
        """Offset ids ``[..., depths]`` into the audio embedding, where each depth has a range."""
        depths = torch.arange(ids.shape[-1], device=ids.device)
        return ids + depths * self.config.audio_vocab

    def _embed_audio(self, tokens: Tensor) -> Tensor:
        """Sum the embeddings of the eight codebooks of tokens ``[..., 9]``: ``[..., D]``."""
        ids = self._table_ids(tokens[..., :CODEBOOKS])
        table = self.audio_embedding.weight
        # a bag sums as it reads, so the [..., 8, D] of single embeddings never exists
        summed = F.embedding_bag(ids.flatten(end_dim=-2), table, mode="sum")
        return summed.view(*ids.shape[:-1], -1)
