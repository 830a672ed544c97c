"""Keeps texts from repeating themselves: a repetition penalty, and a ban on repeated n-grams.

Both look at what a request was answered so far and at nothing else: not at its prompt, and not at
the requests beside it. Neither synchronizes with the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from uniaudio2.lm.sampling.sampling import Sampling


class LogitsProcessor(Protocol):
    """Changes logits by what each answer holds already.

    The id that ends a text is never banned or penalised, because no unfinished text holds it.
    """

    def __call__(self, logits: Tensor, history: Tensor, lengths: Tensor) -> Tensor:
        """Process the logits of B answers.

        Args:
            logits: ``[B, V]``.
            history: ``[B, S]`` int64, ids that were chosen; what lies beyond an answer's length
                may be anything.
            lengths: ``[B]`` int64, in 0..S.

        Returns:
            ``[B, V]``; an id that is banned has minus infinity.
        """
        ...


@dataclass(frozen=True)
class RepetitionPenalty:
    """Makes ids that an answer holds already less probable.

    Attributes:
        penalty: above 1; divides positive logits and multiplies negative ones.
    """

    penalty: float

    def __call__(self, logits: Tensor, history: Tensor, lengths: Tensor) -> Tensor:
        """Penalise ids; see `LogitsProcessor`."""
        penalised = torch.where(logits > 0, logits / self.penalty, logits * self.penalty)
        is_chosen = torch.arange(history.shape[1], device=history.device) < lengths[:, None]
        return torch.where(_mark_ids(logits, history, is_chosen), penalised, logits)


@dataclass(frozen=True)
class NoRepeatNGram:
    """Bans ids that would complete an n-gram which an answer holds already.

    Attributes:
        ngram_size: at least 2.
    """

    ngram_size: int

    def __call__(self, logits: Tensor, history: Tensor, lengths: Tensor) -> Tensor:
        """Ban ids; see `LogitsProcessor`."""
        if history.shape[1] < self.ngram_size:
            return logits
        ids, is_repeat = _ids_after_last(history, lengths, self.ngram_size - 1)
        return logits.masked_fill(_mark_ids(logits, ids, is_repeat), -math.inf)


def logits_processors(sampling: Sampling) -> tuple[LogitsProcessor, ...]:
    """Make the processors that settings ask for, in the order in which they are applied."""
    processors: list[LogitsProcessor] = []
    if sampling.repetition_penalty > 1:
        processors.append(RepetitionPenalty(sampling.repetition_penalty))
    if sampling.no_repeat_ngram_size is not None:
        processors.append(NoRepeatNGram(sampling.no_repeat_ngram_size))
    return tuple(processors)


def _ids_after_last(history: Tensor, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find what followed wherever the last `count` ids of an answer occurred in it before.

    Returns:
        ids ``[B, W]`` and whether each of them followed such a place, ``[B, W]`` bool.
    """
    ngrams = history.unfold(1, count, 1)[:, :-1]  # [B, W, count]
    ends = lengths[:, None] - count + torch.arange(count, device=history.device)  # [B, count]
    last = history.gather(1, ends.clamp(min=0))
    starts = torch.arange(ngrams.shape[1], device=history.device)
    is_past = starts + count < lengths[:, None]
    return history[:, count:], (ngrams == last[:, None]).all(dim=2) & is_past


def _mark_ids(logits: Tensor, ids: Tensor, flags: Tensor) -> Tensor:
    """``[B, V]`` bool: the ids ``[B, W]`` whose flag is set, each for its own request."""
    vocabulary = logits.shape[1]
    marks = torch.zeros(len(ids), vocabulary + 1, dtype=torch.bool, device=ids.device)
    # ids without a flag share one more column, which is cut off
    return marks.scatter(1, ids.masked_fill(~flags, vocabulary), True)[:, :vocabulary]
