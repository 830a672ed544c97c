"""Answer requests: check that they fit, decode them in batches, give results in order."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from uniaudio2.config import LmConfig
from uniaudio2.frames import Prompt
from uniaudio2.lm.decoding import Decoding, Generated, Request
from uniaudio2.lm.grammar import SHORTEST_ANSWER
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling import Sampling

__all__ = ["Generated", "Request", "check_length", "generate"]


def check_length(prompt: Prompt, max_frames: int, config: LmConfig) -> int:
    """Most frames that can follow a prompt: prompt and answer share the context.

    The last frame is never fed back, so S prompt rows leave ``context + 1 - S`` frames.

    Returns:
        ``min(max_frames, context + 1 - S)``.

    Raises:
        ValueError: the prompt is empty, or leaves too little room for any answer.
    """
    rows, room = len(prompt), config.context + 1 - len(prompt)
    needed = min(max_frames, SHORTEST_ANSWER)
    if rows == 0:
        raise ValueError("the prompt has 0 rows; it must have at least 1, such as a text bos")
    if room < needed:
        raise ValueError(
            f"the prompt has {rows} rows; it may have at most {config.context + 1 - needed} of "
            f"the {config.context} that the context holds; shorten the audio or the text"
        )
    return min(max_frames, room)


@torch.inference_mode()
def generate(lm: UniAudioLM, requests: Sequence[Request], sampling: Sampling) -> list[Generated]:
    """Answer requests of any prompt lengths, audio and text outputs each in one batch.

    A row's answer depends on its request and the settings alone, not on the rows beside it
    (up to the rounding of floating point sums).

    Args:
        lm: the model, on its device.
        requests: what to answer.
        sampling: settings of all rows.

    Returns:
        One answer per request, in their order.

    Raises:
        ValueError: a prompt does not fit, or the settings do not suit the model.
    """
    sampling.check_fits(lm.config)
    limits = [_row_limit(request, sampling, lm.config) for request in requests]
    answers: dict[int, Generated] = {}
    for output in ("audio", "text"):
        chosen = [i for i, request in enumerate(requests) if request.output == output]
        if not chosen:
            continue
        decoding = Decoding(
            lm, [requests[i] for i in chosen], [limits[i] for i in chosen], sampling
        )
        while not decoding.is_finished:
            decoding.step()
        answers.update((i, decoding.results[at]) for at, i in enumerate(chosen))
    return [answers[i] for i in range(len(requests))]


def _row_limit(request: Request, sampling: Sampling, config: LmConfig) -> int:
    """Most frames of one row; both halves of guidance must fit."""
    most, is_strict = sampling.max_frames, request.output == "audio" and sampling.constrained
    if is_strict and most < SHORTEST_ANSWER:
        raise ValueError(
            f"max_frames {most} must be at least {SHORTEST_ANSWER} for audio: three marker frames "
            "and one frame of each stream; raise it"
        )
    limit = check_length(request.prompt, most, config)
    if sampling.guidance > 1 and request.unconditional is not None:
        limit = min(limit, check_length(request.unconditional, most, config))
    return limit
