"""Keeping texts from repeating themselves, row by row: a penalty, and a ban on n-grams.

Both look at what a row has answered so far and at nothing else: not at its prompt, and not at the
rows beside it. Neither waits for the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uniaudio2.lm.sampling.sampling import Sampling


def guard(logits: Tensor, sampling: Sampling, history: Tensor, lengths: Tensor) -> Tensor:
    """Change logits by what each row holds already, as the settings ask.

    Args:
        logits: ``[B, V]``.
        sampling: `repetition_penalty` and `no_repeat_ngram_size`.
        history: ``[B, F]`` int64, ids that the rows have chosen; what lies beyond a row's length
            may be anything.
        lengths: ``[B]`` int64, in 0..F.

    Returns:
        ``[B, V]``; an id that is banned has minus infinity. The id that ends a text is never
        banned or penalised, because no unfinished text holds it.
    """
    if sampling.repetition_penalty > 1:
        penalised = torch.where(
            logits > 0, logits / sampling.repetition_penalty, logits * sampling.repetition_penalty
        )
        within = torch.arange(history.shape[1], device=history.device) < lengths[:, None]
        logits = torch.where(_marked(logits, history, within), penalised, logits)
    size = sampling.no_repeat_ngram_size
    if size is not None and history.shape[1] >= size:
        nexts, is_repeat = _after_last_words(history, lengths, size - 1)
        logits = logits.masked_fill(_marked(logits, nexts, is_repeat), -math.inf)
    return logits


def _after_last_words(history: Tensor, lengths: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """What followed wherever the last `words` ids of a row occurred in it before.

    Returns:
        ids ``[B, W]`` and whether each of them followed such a place, ``[B, W]`` bool.
    """
    windows = history.unfold(1, words, 1)[:, :-1]  # [B, W, words]
    ends = lengths[:, None] - words + torch.arange(words, device=history.device)  # [B, words]
    last = history.gather(1, ends.clamp(min=0))
    starts = torch.arange(windows.shape[1], device=history.device)
    is_past = starts + words < lengths[:, None]
    return history[:, words:], (windows == last[:, None]).all(dim=2) & is_past


def _marked(logits: Tensor, ids: Tensor, flags: Tensor) -> Tensor:
    """``[B, V]`` bool: the ids ``[B, W]`` whose flag is set, each in its own row."""
    vocabulary = logits.shape[1]
    marks = torch.zeros(len(ids), vocabulary + 1, dtype=torch.bool, device=ids.device)
    # ids without a flag share one more column, which is cut off
    return marks.scatter(1, ids.masked_fill(~flags, vocabulary), True)[:, :vocabulary]
