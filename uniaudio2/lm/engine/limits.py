"""Checks that a prompt and its answer fit into the context together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniaudio2.config import LmConfig
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.grid import Prompt
from uniaudio2.tokens.streams import PAIR, Stream, shortest_answer

if TYPE_CHECKING:
    from uniaudio2.lm.engine.request import Request


class PromptTooLong(ValueError):
    """Prompt and answer do not fit into the context."""


def check_length(
    prompt: Prompt,
    max_steps: int,
    config: LmConfig,
    answer: tuple[Stream, ...] = PAIR,
    examples: int = 0,
) -> int:
    """Compute how many steps can follow a prompt: prompt and answer share the context.

    The tokens of the last step are never fed back, so a prompt of S positions leaves
    ``context + 1 - S`` steps.

    Args:
        prompt: all positions before the answer.
        max_steps: most steps that are wanted.
        config: the context.
        answer: streams that must find room.
        examples: positions of the prompt that are worked examples, for the message.

    Returns:
        ``min(max_steps, context + 1 - S)``.

    Raises:
        PromptTooLong: the prompt leaves too little room for any answer.
        ValueError: it is empty.
    """
    length, room = len(prompt), config.context + 1 - len(prompt)
    needed = min(max_steps, shortest_answer(answer))
    if length == 0:
        raise ValueError("the prompt has 0 positions; it must have at least 1, such as a text bos")
    if room < needed:
        worked = f", {examples} of them worked examples" if examples else ""
        remedy = "give fewer examples, or shorten" if examples else "shorten"
        raise PromptTooLong(
            f"the prompt has {length} positions{worked}; it may have at most "
            f"{config.context + 1 - needed} of the {config.context} that the context holds; "
            f"{remedy} the audio or the text"
        )
    return min(max_steps, room)


def max_steps_of(request: Request, sampling: Sampling, config: LmConfig) -> int:
    """Compute how many steps a request may have; both prompts of guidance must fit.

    Raises:
        ValueError: they do not (see `check_length`), or `sampling` cannot serve the output.
    """
    sampling.check_output(request.output, request.answer)
    wanted, answer = sampling.max_frames, request.answer
    steps = check_length(request.prompt, wanted, config, answer)
    if sampling.sequences_per_request == 2 and request.unconditional is not None:
        steps = min(steps, check_length(request.unconditional, wanted, config, answer))
    return steps
