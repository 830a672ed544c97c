"""When each word or event of a clip ends, by the codec's own recognition head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from uniaudio2.training.data.domain import symbols_of
from uniaudio2.training.data.encoded import EncodedClip
from uniaudio2.training.trainers.codec import CodecTrainer

_CLIPS_PER_BATCH = 64
_NEVER = -1e4  # log probability of what cannot be


@torch.inference_mode()
def align(trainer: CodecTrainer, clips: Sequence[EncodedClip]) -> dict[int, list[int]]:
    """Find, for every clip's number, the reconstruction frame at which each of its symbols ends.

    A clip with more symbols than frames is left out.
    """
    found: dict[int, list[int]] = {}
    fitting = [clip for clip in clips if len(clip.codes.recon) > 2 * len(symbols_of(clip.text))]
    for batch in _batches(sorted(fitting, key=lambda clip: len(clip.codes.recon))):
        codes = torch.nn.utils.rnn.pad_sequence(
            [clip.codes.recon for clip in batch], batch_first=True
        )  # [B, T, 8]
        device = next(trainer.parameters()).device
        frames = trainer.encoder.quantizers.pronunciation.decode(codes[..., :1].to(device))
        log_probs = trainer.phone_head(frames).cpu()  # [B, T, classes]
        for clip, frames in zip(batch, log_probs, strict=True):
            found[clip.number] = best_path(frames[: len(clip.codes.recon)], symbols_of(clip.text))
    return found


def _batches(clips: list[EncodedClip]) -> Iterator[list[EncodedClip]]:
    for first in range(0, len(clips), _CLIPS_PER_BATCH):
        yield clips[first : first + _CLIPS_PER_BATCH]


def best_path(log_probs: Tensor, symbols: Sequence[int]) -> list[int]:
    """Find the likeliest CTC path that reads given symbols (forced alignment).

    Args:
        log_probs: ``[T, classes]``, blank first.
        symbols: L classes, each at least 1; ``T >= 2 L`` always leaves a path.

    Returns:
        The last frame of each symbol, L increasing numbers.
    """
    states = torch.zeros(2 * len(symbols) + 1, dtype=torch.int64)  # blank, symbol, blank, ...
    states[1::2] = torch.tensor(list(symbols))
    given = log_probs[:, states]  # [T, S]
    may_skip = torch.zeros(len(states), dtype=torch.bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]  # equal neighbours need a blank between
    score = torch.full((len(states),), _NEVER)
    score[:2] = given[0, :2]
    steps = []
    for frame in given[1:]:
        one = torch.cat([score.new_full((1,), _NEVER), score[:-1]])
        two = torch.cat([score.new_full((2,), _NEVER), score[:-2]]).where(may_skip, _NEVER)
        score, step = torch.stack([score, one, two]).max(0)
        score = score + frame
        steps.append(step)
    at = len(states) - 1 - int(score[-1] < score[-2])
    path = [at]
    for step in reversed(steps):
        at -= int(step[at])
        path.append(at)
    path.reverse()
    last = {state: frame for frame, state in enumerate(path)}
    return [last[2 * place + 1] for place in range(len(symbols))]
