"""A prompt from a row of the task table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uniaudio2.codes import Codes
from uniaudio2.config import LmConfig
from uniaudio2.frames import (
    Prompt,
    audio_prompt_segment,
    reason_segment,
    semantic_segment,
    text_segment,
)
from uniaudio2.tasks import Segment, TaskSpec


def build_prompt(
    task: TaskSpec,
    instruction_ids: Sequence[int],
    values: Mapping[str, list[int] | Codes],
    config: LmConfig,
) -> Prompt:
    """Lay out the instruction, then the task's segments in their order.

    Args:
        task: row of the task table.
        instruction_ids: text ids of the task prompt, its bos and eos included.
        values: what fills the segments, by column: text ids or codes.
        config: markers and cards.

    Raises:
        ValueError: a column is missing or holds the other kind, or an id is out of range.
    """
    parts = [text_segment(instruction_ids, config)]
    parts += [_segment(segment, values, config, task.name) for segment in task.prompt]
    return Prompt.join(parts)


def _segment(
    segment: Segment, values: Mapping[str, list[int] | Codes], config: LmConfig, task: str
) -> Prompt:
    value = values.get(segment.column)
    wants_text = segment.kind == "text"
    if value is None or isinstance(value, Codes) == wants_text:
        given = "nothing" if value is None else type(value).__name__
        raise ValueError(
            f"column {segment.column!r} holds {given}; task {task!r} needs "
            f"{'text ids' if wants_text else 'codes'} there"
        )
    if not isinstance(value, Codes):
        return text_segment(value, config, segment.tag)
    if segment.kind == "reason":
        return reason_segment(value.reason, config)
    if segment.kind == "recon":
        return semantic_segment(value.recon, config)
    return audio_prompt_segment(value.recon, config)
