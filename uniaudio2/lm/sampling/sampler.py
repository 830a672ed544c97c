"""Chooses the next id: guidance, probabilities, and a draw that depends on its request alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uniaudio2.lm.sampling.counter_rng import exponential
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import may_sync

_MAX_TIES = 64  # of 2000 times 12,300 random bf16 logits, none had over ten ties with its 50th


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


def logprobs_of(logits: Tensor, ids: Tensor, first_id: int = 0) -> Tensor:
    """Log-probabilities of ids that were chosen, at temperature 1 and among all that are allowed.

    Args:
        logits: ``[B, V]`` of the ids from `first_id` on, those not allowed overwritten, as
            `sample_ids` leaves them.
        ids: ``[B]`` int64.
        first_id: as of `sample_ids`.

    Returns:
        ``[B]`` float32.
    """
    own = (ids - first_id)[:, None]
    return logits.float().log_softmax(dim=-1).gather(1, own)[:, 0]


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
