"""How long prompt and answer may be together."""

from __future__ import annotations

from uniaudio2.config import LmConfig
from uniaudio2.frames import Prompt
from uniaudio2.lm.grammar import SHORTEST_ANSWER
from uniaudio2.lm.request import Request
from uniaudio2.lm.sampling import Sampling


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


def row_limit(request: Request, sampling: Sampling, config: LmConfig) -> int:
    """Most frames of one row; both halves of guidance must fit.

    Raises:
        ValueError: they do not, or `max_frames` is too low for any audio.
    """
    sampling.check_serves(request.output)
    most = sampling.max_frames
    limit = check_length(request.prompt, most, config)
    if sampling.guidance > 1 and request.unconditional is not None:
        limit = min(limit, check_length(request.unconditional, most, config))
    return limit
