"""Read few-shot examples, and check what a job asks with against its model.

All of it is read and checked before anything starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.batch.names import (
    AUDIO_COLUMNS,
    CODE_COLUMNS,
    CODE_SOURCES,
    FAULT_COLUMN,
    RATE_COLUMNS,
    SPAN_COLUMNS,
)
from actors.batch.sample_arrays import cell_value
from actors.batch.unit import row_ids
from actors.columnar.column_names import ColumnNames
from actors.columnar.constants import with_constants
from actors.columnar.file_rows import read_parquet_rows
from actors.columnar.value_bounds import TOO_LARGE, too_large_message
from actors.inputs.few_shot import Example, few_shot_prompt, read_example, zero_codes
from actors.storage.addresses import AddressPolicy
from actors.storage.file_systems import UnknownFileSystem
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.naming import named_sources
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.aliases import needs_of
from pipelines.manifest.tables.scan import Scan
from uniaudio2.config import LmConfig, ModelConfig
from uniaudio2.errors import BadRow
from uniaudio2.frozen import nearest
from uniaudio2.lm.engine.limits import check_length
from uniaudio2.lm.prompt import PromptBuilder
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.lm.tokenizer import TextTokenizer
from uniaudio2.tasks.answers import answer_columns
from uniaudio2.tasks.spec import TaskSpec


def read_examples(
    uri: str,
    count: int | None,
    task: TaskSpec,
    max_duration_s: float,
    allow: tuple[str, ...] = (),
) -> tuple[Example, ...]:
    """The first rows of a manifest as worked examples, their audio decoded.

    Args:
        uri: the manifest.
        count: how many; None for all.
        task: decides which columns are needed.
        max_duration_s: longest audio that is accepted.
        allow: what rows may name besides, see `AddressPolicy`.

    Raises:
        UsageError: the task takes none, rows are missing, or one of them is bad.
    """
    if not task.prompt:
        raise UsageError(f"examples: task {task.name} generates nothing; leave them out")
    examples: list[Example] = []
    try:
        scan = Scan(count)
        needs = needs_of(task) | {n[-1]: n for n in answer_columns(task) if n[-1] == "text"}
        sources = named_sources(find_sources(uri, scan), uri, needs, scan)
    except (UnknownFileSystem, OSError) as fault:
        raise UsageError(f"examples: {uri}: {fault}; name a manifest that can be read") from fault
    for source in sources:
        left = source.rows if count is None else min(source.rows, count - len(examples))
        if left > 0:
            examples += _examples_of(source, left, task, max_duration_s, allow)
    if not examples or len(examples) < (count or 1):
        raise UsageError(
            f"examples: {uri} has {len(examples)} rows, {count or 'at least 1'} are asked for; "
            "lower examples.count or add rows"
        )
    return tuple(examples)


def _examples_of(
    source: Source, count: int, task: TaskSpec, max_duration_s: float, allow: tuple[str, ...]
) -> list[Example]:
    if source.table is not None:
        table = source.table.slice(0, count)
    else:
        table = with_constants(read_parquet_rows(source.uri, 0, count), source.constants)
        table = ColumnNames.of_text(source.names).table(table)
    answers = [name for names in answer_columns(task) for name in names]
    wanted = {
        *task.columns, *task.fallback.values(), *answers, *AUDIO_COLUMNS, *RATE_COLUMNS,
        *SPAN_COLUMNS, *CODE_SOURCES, FAULT_COLUMN, TOO_LARGE, "instruction",
    }  # fmt: skip
    names = [name for name in table.column_names if name in wanted]
    policy = AddressPolicy(source.base, allow, source.uri if source.pinned else "")
    examples = []
    for row, row_id in enumerate(row_ids(table)):
        try:
            cells = {name: _value(table.column(name)[row], name) for name in names}
            if cells.get(FAULT_COLUMN):
                raise BadRow("bad_manifest_row", str(cells[FAULT_COLUMN]))
            if message := too_large_message(cells.get(TOO_LARGE)):
                raise BadRow("too_large", message)
            example = read_example(cells, str(row_id), policy, task, max_duration_s)
        except BadRow as error:
            raise UsageError(
                f"examples: row {row} ({row_id}) of {source.uri}: {error.message}"
            ) from error
        examples.append(example)
    return examples


def _value(cell: pa.Scalar, name: str) -> Any:
    if name in CODE_COLUMNS:
        return cell if cell.is_valid else None
    return cell_value(name, cell)


def check_prompting(
    task: TaskSpec,
    instructions: tuple[str, ...],
    examples: tuple[Example, ...],
    sampling: Sampling,
    seed: int,
    model: ModelConfig,
    tokenizer: Path,
) -> None:
    """Check what a job asks with against a model.

    Args:
        task: what is asked.
        instructions: of the job.
        examples: worked ones.
        sampling: the room that answers need.
        seed: of the job; it chooses the examples' instructions.
        model: its tags and its context.
        tokenizer: path of its ``tokenizer.json``.

    Raises:
        ValueError: a tag that the model does not know, or examples that leave no room.
    """
    check_tags(task, model.lm)
    if not examples:
        return
    prompts = PromptBuilder(TextTokenizer.load(tokenizer, model.lm), model.lm)
    prefix = few_shot_prompt(examples, task, instructions, seed, prompts, zero_codes(model.codec))
    check_length(prefix, sampling.max_frames, model.lm, task.answer, len(prefix))


def check_tags(task: TaskSpec, lm: LmConfig) -> None:
    """Refuse a tag that the model was not trained on.

    Raises:
        ValueError: names the nearest.
    """
    for tag in (task.output_tag, *(item.tag for item in task.prompt)):
        if tag is not None and tag not in lm.ids.tags:
            raise ValueError(
                f"task {task.name}: tag {tag!r} is not one of the model's tags; "
                f"{nearest(tag, list(lm.ids.tags))}"
            )
