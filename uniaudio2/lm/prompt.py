"""Builds prompts as the task table lays them out, and worked examples before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uniaudio2.config import LmConfig
from uniaudio2.lm.tokenizer import TextTokenizer
from uniaudio2.tasks.spec import PromptItem, TaskSpec
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import (
    Prompt,
    audio_prompt_positions,
    reason_positions,
    semantic_positions,
    text_positions,
)


def build_prompt(
    task: TaskSpec,
    instruction_ids: Sequence[int],
    values: Mapping[str, list[int] | Codes],
    config: LmConfig,
    fixed: Mapping[str, list[int]] | None = None,
) -> Prompt:
    """Build a prompt: the instruction, then the task's items in their order.

    Args:
        task: its entry in the task table.
        instruction_ids: text ids of the task prompt, its bos and eos included; none leaves it out.
        values: what fills the items, by column: text ids or codes.
        config: markers and cards.
        fixed: text ids of the task's fixed texts, by text.

    Raises:
        ValueError: a column is missing or holds the other kind, or an id is out of range.
    """
    prompts = [text_positions(instruction_ids, config)]
    for item in task.prompt:
        prompts += _positions(item, {**(fixed or {}), **values}, config, task.name)
    return Prompt.join(prompts)


def _positions(
    item: PromptItem, values: Mapping[str, list[int] | Codes], config: LmConfig, task: str
) -> list[Prompt]:
    value = values.get(item.column or item.text or "")
    wants_text = item.kind == "text"
    if value is None or isinstance(value, Codes) == wants_text:
        given = "nothing" if value is None else type(value).__name__
        raise ValueError(
            f"column {item.column!r} holds {given}; task {task!r} needs "
            f"{'text ids' if wants_text else 'codes'} there"
        )
    if not isinstance(value, Codes):
        is_closed = value[-1:] == [config.ids.text_eos]
        ids = value[:-1] if item.open and is_closed else value
        return [text_positions(ids, config, item.tag)]
    if item.kind == "audio_prompt":
        return [audio_prompt_positions(value.recon, config)]
    prompts = []
    if item.kind in ("audio", "reason"):
        prompts.append(reason_positions(value.reason, config))
    if item.kind in ("audio", "recon"):
        prompts.append(semantic_positions(value.recon, config))
    return prompts


def answer_positions(
    task: TaskSpec, answer: list[int] | Sequence[Codes], config: LmConfig
) -> list[Prompt]:
    """Lay an answer out as the model would give it: text ids between the task's tags, or the
    streams of every sound.

    Raises:
        ValueError: an id is out of range.
    """
    prompts = []
    ids = [value for value in answer if isinstance(value, int)]
    sounds = [value for value in answer if isinstance(value, Codes)]
    if task.output == "text":
        goes_on = task.prompt[-1].open and not task.output_tag
        return [text_positions(ids[1:] if goes_on else ids, config, task.output_tag)]
    for sound in sounds:
        if "reason" in task.answer:
            prompts.append(reason_positions(sound.reason, config))
        if "recon" in task.answer:
            prompts.append(semantic_positions(sound.recon, config))
    return prompts


class PromptBuilder:
    """Builds prompts from texts and codes.

    Args:
        tokenizer: of the model.
        config: of its language model.
    """

    def __init__(self, tokenizer: TextTokenizer, config: LmConfig) -> None:
        self.tokenizer, self.config = tokenizer, config

    def prompt(self, task: TaskSpec, values: Mapping[str, str | Codes], instruction: str) -> Prompt:
        """Build the prompt of one request.

        Args:
            task: lays it out.
            values: text or codes by input column.
            instruction: the task prompt; "" leaves it out.

        Raises:
            ValueError: a column is missing or holds the other kind, or codes are out of range.
        """
        encode = self.tokenizer.encode
        ids: dict[str, list[int] | Codes] = {
            name: encode(value) if isinstance(value, str) else value
            for name, value in values.items()
        }
        fixed = {one.text: encode(one.text) for one in task.prompt if one.text is not None}
        asked = self.tokenizer.instruction(instruction) if instruction.strip() else []
        return build_prompt(task, asked, ids, self.config, fixed)

    def example(
        self,
        task: TaskSpec,
        values: Mapping[str, str | Codes],
        instruction: str,
        answer: str | Sequence[Codes],
    ) -> Prompt:
        """Build a worked example: a prompt with its answer behind it.

        Args:
            task: lays it out.
            values: text or codes by input column.
            instruction: the task prompt; "" leaves it out.
            answer: text, or the codes of every sound.

        Raises:
            ValueError: as of `prompt`.
        """
        tokens = self.tokenizer.encode(answer) if isinstance(answer, str) else answer
        prompts = answer_positions(task, tokens, self.config)
        return Prompt.join([self.prompt(task, values, instruction), *prompts])
