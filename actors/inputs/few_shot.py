"""Worked examples: rows with their answers, which are laid out before each row of a job."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from actors.batch.names import RECON_CODES
from actors.inputs.audio import load_wave
from actors.inputs.codes import load_codes
from actors.inputs.instructions import choose_instruction
from actors.inputs.text import check_text, read_text
from actors.storage.addresses import AddressPolicy
from uniaudio2.codec.segments import reason_frames, recon_frames
from uniaudio2.config import CODEBOOKS, CodecConfig
from uniaudio2.errors import BadRow
from uniaudio2.lazily import torch
from uniaudio2.lm.prompt import PromptBuilder
from uniaudio2.tasks.answers import answer_columns
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import Prompt

if TYPE_CHECKING:
    from torch import Tensor

EncodeAll = Callable[[Sequence["Tensor"]], Sequence[Codes]]
Value: TypeAlias = "str | Tensor | Codes"


@dataclass(frozen=True)
class Example:
    """One worked example.

    Attributes:
        id: chooses its instruction.
        values: text, a wave or codes, by input column.
        answer: text, or a wave or codes for every sound.
        instruction: its own, or None.
    """

    id: str
    values: Mapping[str, Value]
    answer: str | Sequence[Tensor | Codes]
    instruction: str | None

    @property
    def fingerprint(self) -> str:
        """Hash of everything that it says."""
        answer = [self.answer] if isinstance(self.answer, str) else list(self.answer)
        digest = hashlib.blake2b(digest_size=16)
        for name, value in [*sorted(self.values.items()), *((":answer", one) for one in answer)]:
            digest.update(f"{name}\x00{_content(value)}\x00".encode())
        digest.update(f"{self.id}\x00{self.instruction}".encode())
        return digest.hexdigest()


def _content(value: Value) -> str:
    if isinstance(value, str):
        return value
    parts = [value] if isinstance(value, torch.Tensor) else [value.reason, value.recon]
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{tuple(part.shape)}".encode() + part.numpy().tobytes())
    return digest.hexdigest()


def read_example(
    row: Mapping[str, Any],
    row_id: str,
    policy: AddressPolicy,
    task: TaskSpec,
    max_duration_s: float,
) -> Example:
    """Read, check and decode an example.

    Args:
        row: a manifest row.
        row_id: its id.
        policy: where the manifest is, and what it may name.
        task: decides which columns are needed.
        max_duration_s: longest audio that is accepted.

    Raises:
        BadRow: a value is missing, empty or unreadable.
    """

    def sound_of(name: str) -> Tensor | Codes:
        if name == AUDIO and row.get(AUDIO) is None and row.get(RECON_CODES) is not None:
            return load_codes(row, policy)
        own = row if name == AUDIO else {AUDIO: row.get(name)}
        return load_wave(own, policy, max_duration_s)

    values: dict[str, Value] = {name: read_text(row, name, task) for name in task.text_columns}
    values |= {name: sound_of(name) for name in task.audio_columns}
    columns = [_present(row, names) for names in answer_columns(task)]
    answer: str | list[Tensor | Codes]
    if task.output == "text":
        answer = check_text(row[columns[0]], columns[0])
    else:
        answer = [sound_of(name) for name in columns]
    own = row.get("instruction")
    instruction = None if own is None else check_text(own, "instruction")
    return Example(row_id, values, answer, instruction)


def _present(row: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        if row.get(name) is not None:
            return name
    if AUDIO in names and row.get(RECON_CODES) is not None:
        return AUDIO
    raise BadRow("missing_value", f"there is no answer; fill column {' or '.join(names)}")


def few_shot_prompt(
    examples: Sequence[Example],
    task: TaskSpec,
    instructions: Sequence[str],
    seed: int,
    prompts: PromptBuilder,
    encode: EncodeAll,
) -> Prompt:
    """All examples, one behind the other, each as a whole row: instruction, inputs, answer.

    Args:
        examples: at least one.
        task: lays them out.
        instructions: of the job; an example's seed chooses as a row's does.
        seed: the job's.
        prompts: of the model.
        encode: makes codes of waves, all of them in one call.

    Raises:
        ValueError: codes are out of the model's range.
    """
    waves: list[Tensor] = []
    for example in examples:
        answers = [] if isinstance(example.answer, str) else list(example.answer)
        for value in [*example.values.values(), *answers]:
            if isinstance(value, torch.Tensor):
                waves.append(value)
    made = iter(encode(waves) if waves else [])

    def coded(value: Tensor | Codes) -> Codes:
        return next(made) if isinstance(value, torch.Tensor) else value

    parts = []
    for example in examples:
        values: dict[str, str | Codes] = {
            name: value if isinstance(value, str) else coded(value)
            for name, value in example.values.items()
        }
        answer = example.answer
        told = answer if isinstance(answer, str) else [coded(value) for value in answer]
        instruction = choose_instruction(example.instruction, instructions, seed, example.id)
        parts.append(prompts.example(task, values, instruction, told))
    return Prompt.join(parts)


def zero_codes(codec: CodecConfig) -> EncodeAll:
    """Stands in for the encoder where only the number of codes counts: they are all zero."""

    def encode(waves: Sequence[Tensor]) -> list[Codes]:
        return [
            Codes(
                torch.zeros(reason_frames(len(wave), codec), CODEBOOKS, dtype=torch.int64),
                torch.zeros(recon_frames(len(wave), codec), CODEBOOKS, dtype=torch.int64),
            )
            for wave in waves
        ]

    return encode
