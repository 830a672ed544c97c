"""How long prompt and answer may be together."""

from __future__ import annotations

from uniaudio2.config import LmConfig
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.sampling.grammar import shortest_answer
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.codes import PAIR, Stream
from uniaudio2.tokens.grid import Prompt


class DoesNotFit(ValueError):
    """Prompt and answer do not fit into the context."""


def check_length(
    prompt: Prompt,
    max_frames: int,
    config: LmConfig,
    answer: tuple[Stream, ...] = PAIR,
    examples: int = 0,
) -> int:
    """Most frames that can follow a prompt: prompt and answer share the context.

    The last frame is never fed back, so S prompt rows leave ``context + 1 - S`` frames.

    Args:
        prompt: all rows before the answer.
        max_frames: most frames that are wanted.
        config: the context.
        answer: streams that must find room.
        examples: rows of the prompt that are worked examples, for the message.

    Returns:
        ``min(max_frames, context + 1 - S)``.

    Raises:
        DoesNotFit: the prompt leaves too little room for any answer.
        ValueError: it is empty.
    """
    rows, room = len(prompt), config.context + 1 - len(prompt)
    needed = min(max_frames, shortest_answer(answer))
    if rows == 0:
        raise ValueError("the prompt has 0 rows; it must have at least 1, such as a text bos")
    if room < needed:
        worked = f", {examples} of them worked examples" if examples else ""
        remedy = "give fewer examples, or shorten" if examples else "shorten"
        raise DoesNotFit(
            f"the prompt has {rows} rows{worked}; it may have at most "
            f"{config.context + 1 - needed} of the {config.context} that the context holds; "
            f"{remedy} the audio or the text"
        )
    return min(max_frames, room)


def row_limit(request: Request, sampling: Sampling, config: LmConfig) -> int:
    """Most frames of one row; both halves of guidance must fit.

    Raises:
        ValueError: they do not, or `max_frames` is too low for any audio.
    """
    sampling.check_serves(request.output, request.answer)
    most, answer = sampling.max_frames, request.answer
    limit = check_length(request.prompt, most, config, answer)
    if sampling.guidance > 1 and request.unconditional is not None:
        limit = min(limit, check_length(request.unconditional, most, config, answer))
    return limit
