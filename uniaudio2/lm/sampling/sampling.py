"""Chooses the next id: settings, probabilities, and a draw that depends on its request alone."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor

from uniaudio2.config import LmConfig, ModelConfig
from uniaudio2.frozen import Frozen
from uniaudio2.lm.sampling.counter_rng import exponential
from uniaudio2.lm.sampling.grammar import shortest_answer
from uniaudio2.runtime.cuda_graphs import may_sync
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tokens.streams import PAIR, Stream

_MAX_TIES = 64  # of 2000 times 12,300 random bf16 logits, none had over ten ties with its 50th


class Sampling(Frozen):
    """Settings of generation (published defaults: temperature 0.9, top_k 50, 500 frames).

    Attributes:
        greedy: take the most probable id; temperature, top_k and seeds then mean nothing.
        temperature: divides the logits.
        top_k: keep the k largest logits and whatever ties with the last of them; None keeps all.
        guidance: scale of classifier-free guidance, the engine's `cfg_factor`: 1 is off; above 1 an
            unconditional sequence runs beside the conditional one of every request.
        max_frames: most steps of an answer: audio frames or text ids, markers included.
        reason_limit: most reasoning frames of an answer when constrained; None leaves room for the
            reconstruction frames that belong to them.
        constrained: allow only ids that the codec can decode, in whole marker frames and two
            phases; false is the published rule, which allows more and may return nothing.
        no_repeat_ngram_size: texts only: no sequence of so many ids occurs twice in an answer.
        repetition_penalty: texts only: above 1 it makes ids that an answer holds already less
            probable; 1 is off.
    """

    greedy: bool = False
    temperature: float = 0.9
    top_k: int | None = 50
    guidance: float = 1.0
    max_frames: int = 500
    reason_limit: int | None = None
    constrained: bool = True
    no_repeat_ngram_size: int | None = None
    repetition_penalty: float = 1.0

    @model_validator(mode="after")
    def _in_range(self) -> Sampling:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(
                f"temperature {self.temperature} must be above 0; for no randomness set greedy"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k} must be at least 1; leave it null to keep all")
        if not (self.guidance >= 1 and math.isfinite(self.guidance)):
            raise ValueError(f"guidance {self.guidance} must be at least 1; 1 turns it off")
        if self.max_frames < 1:
            raise ValueError(f"max_frames {self.max_frames} must be at least 1; 500 is usual")
        if self.reason_limit is not None and self.reason_limit < 1:
            raise ValueError(
                f"reason_limit {self.reason_limit} must be at least 1; leave it null for a share "
                "of max_frames"
            )
        if self.no_repeat_ngram_size is not None and self.no_repeat_ngram_size < 2:
            raise ValueError(
                f"no_repeat_ngram_size {self.no_repeat_ngram_size} must be at least 2; 3 is usual, "
                "null turns it off"
            )
        if not (self.repetition_penalty >= 1 and math.isfinite(self.repetition_penalty)):
            raise ValueError(
                f"repetition_penalty {self.repetition_penalty} must be at least 1; 1 turns it off"
            )
        return self

    @property
    def cfg_factor(self) -> float:
        """The guidance scale, as the engine calls it."""
        return self.guidance

    @property
    def sequences_per_request(self) -> int:
        """Sequences that a request has in the KV cache: 2 under guidance, else 1."""
        return 2 if self.cfg_factor > 1 else 1

    @property
    def penalises_repetition(self) -> bool:
        """Whether what a text holds already changes what may follow."""
        return self.no_repeat_ngram_size is not None or self.repetition_penalty > 1

    @staticmethod
    def of_model(model: ModelConfig, task: TaskSpec) -> Sampling:
        """Take what a model recommends for a task."""
        own = model.generation_by_task.get(task.name, model.generation)
        return Sampling(
            greedy=task.greedy,
            temperature=own.temperature,
            top_k=own.top_k,
            guidance=1.0 if task.output == "text" else own.guidance,
            max_frames=min(task.max_frames, own.max_frames or task.max_frames),
        )

    def check_output(
        self, output: Literal["audio", "text"], answer: tuple[Stream, ...] = PAIR
    ) -> None:
        """Refuse settings that cannot serve an output.

        Raises:
            ValueError: `max_frames` leaves no room for any audio, or audio is to be kept from
                repeating itself, which is for texts.
        """
        shortest = shortest_answer(answer)
        if output == "audio" and self.constrained and self.max_frames < shortest:
            raise ValueError(
                f"max_frames {self.max_frames} must be at least {shortest} for audio: "
                f"{2 * len(answer) - 1} marker frames and one frame of each stream; raise it"
            )
        if output == "audio" and self.penalises_repetition:
            raise ValueError(
                "no_repeat_ngram_size and repetition_penalty keep texts from repeating themselves; "
                "this task yields audio: leave them out"
            )

    def check_vocabulary(self, config: LmConfig) -> None:
        """Refuse a top_k that some phase of generation could not serve, before it begins.

        Raises:
            ValueError: top_k exceeds the smallest set of ids that a step may choose from.
        """
        smallest = min(config.semantic_card, config.audio_vocab, config.text_vocab)
        if self.top_k is not None and not self.greedy and self.top_k > smallest:
            raise ValueError(
                f"top_k {self.top_k} must be at most {smallest}, the size of the smallest "
                "vocabulary; lower it or leave it null"
            )


def apply_cfg(logits: Tensor, cfg_factor: float) -> Tensor:
    """Apply classifier-free guidance: move conditional logits away from unconditional ones.

    Args:
        logits: ``[2 B, V]``: of every conditional sequence, and of its unconditional one behind it.
        cfg_factor: 1 gives the conditional logits back.

    Returns:
        ``[B, V]``.
    """
    conditional, unconditional = logits[0::2], logits[1::2]
    return unconditional + (conditional - unconditional) * cfg_factor


def top_k_probabilities(
    logits: Tensor, sampling: Sampling, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Apply temperature, top-k (ties with the k-th kept) and softmax.

    Args:
        logits: ``[B, V]``; those of ids that are not allowed are overwritten.
        sampling: temperature and top_k.
        allowed: bool, broadcastable to ``[B, V]``; other ids get probability 0. Where fewer
            than top_k ids are allowed, all of them stay.

    Returns:
        Probabilities float32 and the ids they belong to: a few more than k, ``[B, K]`` both, or
        ``[B, V]`` and None (every id in order) if all are kept or some request has many ties.
        Where the host may not synchronize with the device, at most 64 ties with the k-th are
        kept.
    """
    logits, k = _mask_disallowed(logits, allowed).float(), sampling.top_k
    if k is None or k >= logits.shape[-1]:
        return (logits / sampling.temperature).softmax(dim=-1), None
    syncs = may_sync(logits)
    top = logits.topk(min(k + (1 if syncs else _MAX_TIES), logits.shape[-1]))
    values = top.values / sampling.temperature  # the order is that of the logits
    last = values[:, k - 1 : k]
    if syncs and bool(((values[:, -1:] == last) & last.isfinite()).any()):
        scaled = logits / sampling.temperature
        return scaled.masked_fill(scaled < last, -math.inf).softmax(dim=-1), None
    return values.masked_fill(values < last, -math.inf).softmax(dim=-1), top.indices


def _mask_disallowed(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Set logits to minus infinity, in place: a second matrix of all ids costs more than all else
    that is done here, as the system maps its memory anew in every step."""
    return logits if allowed is None else logits.masked_fill_(~allowed, -math.inf)


def sample_ids(
    logits: Tensor,
    sampling: Sampling,
    seeds: Tensor,
    steps: Tensor,
    column: int,
    allowed: Tensor | None = None,
    first_id: int = 0,
) -> Tensor:
    """Choose one id per request: the largest logit, or a draw by ``argmax(p / e)``, ``e ~ Exp(1)``.

    Args:
        logits: ``[B, V]`` of the ids from `first_id` on; those not allowed are overwritten.
        sampling: the settings.
        seeds: ``[B]`` int64.
        steps: ``[B]`` int64, steps that each request has behind it.
        column: of the token grid: 0..7 for the depth of a codebook, 8 for text.
        allowed: bool, broadcastable to ``[B, V]``; None allows every id.
        first_id: a draw belongs to an id, so a part of the vocabulary draws as the whole does.

    Returns:
        ``[B]`` int64 ids; equal logits fall to the smallest id when greedy.
    """
    if sampling.greedy:
        return _mask_disallowed(logits, allowed).argmax(dim=-1) + first_id
    probabilities, ids = top_k_probabilities(logits, sampling, allowed)
    every = torch.arange(logits.shape[-1], device=logits.device) if ids is None else ids
    noise = exponential(seeds, steps, column, every + first_id)
    best = (probabilities / noise).argmax(dim=-1)  # [B]
    return (best if ids is None else ids.gather(1, best[:, None])[:, 0]) + first_id
