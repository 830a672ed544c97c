"""Generates text or codes with the language model, from prompts that the task table lays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from torch import Tensor

from actors.batch.names import (
    FINISH_REASON,
    INPUT,
    NO_SPEECH,
    SPANS,
    SPOKEN,
    TEXT,
)
from actors.batch.schema import SPAN_TEXTS_TYPE
from actors.batch.table import (
    alive,
    each_row,
    job_seeds,
    mark_errors,
    read_codes,
    scatter,
    set_column,
    sound_suffixes,
    write_codes,
)
from actors.columnar.cells import plain_value
from actors.inputs.extra_audio import extra_suffix
from actors.inputs.few_shot import Example, few_shot_prompt
from actors.inputs.instructions import choose_instruction
from actors.inputs.prompt_spans import (
    PromptSpan,
    joined_reason,
    joined_text,
    prompt_spans,
    span_texts,
)
from actors.inputs.text import read_text
from actors.stages.shared_engine import SharedEngine
from actors.storage.model_source import local_model
from uniaudio2.config import Padding
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.errors import BadRow
from uniaudio2.lm.engine.limits import PromptTooLong
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import Prompt


class Generator:
    """Add `text` or both codes columns, and `finish_reason`; units may come from many threads.

    Args:
        model: what `local_model` takes.
        task: lays out the prompt and says what comes out.
        sampling: how tokens are chosen, and how many at most.
        seed: the job's seed.
        instructions: task prompts of the job, one of which is chosen by a row's seed; None for
            the task's own.
        examples: worked examples that stand before every row; their audio is encoded here, once.
        padding: of the codec, for that audio; see `Encoder`.
        slots: requests decoded together; the next one takes the slot of one that is finished.
        threads: CPU threads of this actor; None leaves torch's choice.
    """

    def __init__(
        self,
        model: str,
        task: TaskSpec,
        sampling: Sampling,
        seed: int,
        instructions: Sequence[str] | None = None,
        examples: Sequence[Example] = (),
        padding: Padding = "periodic",
        slots: int = 16,
        threads: int | None = None,
    ) -> None:
        self.model = UniAudio2.load(local_model(model), parts=("lm",), threads=threads)
        self.task = task
        self.sampling = sampling
        self.seed = seed
        self.instructions = instructions or (task.instruction,)
        self.prefix = self._lay_out(examples, local_model(model), padding) if examples else None
        self.engine = SharedEngine(lambda: self.model.engine(sampling, slots, self.prefix))

    def _lay_out(self, examples: Sequence[Example], model: str, padding: Padding) -> Prompt:
        def encode(waves: Sequence[Tensor]) -> Sequence[Codes]:
            # only for this call: rows come as codes, so the encoder has no further work here
            return UniAudio2.load(model, parts=("encoder",)).encode(waves, padding=padding)

        return few_shot_prompt(
            examples, self.task, self.instructions, self.seed, self.model.prompts, encode
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Generate for the rows that are still good."""
        codec = self.model.config.codec
        seeds = job_seeds(table, self.seed)
        spans = {row: prompt_spans(table, row, codec, seeds[row]) for row in alive(table)}
        silent = _silent(table)
        if self.task.no_speech == "empty":
            spans |= {row: [] for row in silent & spans.keys()}

        def requests_of(row: int) -> list[Request]:
            inputs, others = self._inputs(table, row), self._others(table, row)
            return [self._request(inputs, others, span) for span in spans[row]]

        requests, errors = each_row(spans, requests_of)
        outputs = iter(self.engine.generate([one for own in requests.values() for one in own]))
        generated = {row: [next(outputs) for _ in own] for row, own in requests.items()}
        whole, empty = each_row(generated, lambda row: self._checked(generated[row]))
        return self._with_results(mark_errors(table, "generate", errors | empty), spans, whole)

    def _others(self, table: pa.Table, row: int) -> dict[str, Codes]:
        """Read the codes of the row's audio columns beside `AUDIO`."""
        return {name: read_codes(table, row, extra_suffix(name)) for name in self.task.other_audio}

    def _inputs(self, table: pa.Table, row: int) -> dict[str, Any]:
        """Read what the task needs of a row's own columns; the others may hold anything."""
        cells = table.column(INPUT)[row]
        wanted = {*self.task.text_columns, *self.task.fallback.values(), "instruction"}
        return {name: plain_value(cells[name]) for name in wanted.intersection(cells)}

    def _request(self, row: dict[str, Any], others: dict[str, Codes], span: PromptSpan) -> Request:
        self._check_codes(span.codes)
        texts = {column: read_text(row, column, self.task) for column in self.task.text_columns}
        heard = {AUDIO: span.codes, **others} if self.task.audio_columns else {}
        instruction = choose_instruction(
            row.get("instruction"), self.instructions, self.seed, span.row_id
        )
        try:
            return self.model.request(
                self.task,
                {**texts, **heard},
                instruction,
                span.seed,
                self.sampling,
                self.prefix,
            )
        except PromptTooLong as fault:
            raise BadRow("too_long", str(fault)) from fault
        except ValueError as fault:
            raise BadRow("bad_codes", str(fault)) from fault

    def _checked(self, outputs: list[RequestOutput]) -> list[RequestOutput]:
        """Refuse sounds without their last stream; an empty text is an answer."""
        last = self.task.answer[-1]
        for output in outputs:
            whole = [sound for sound in output.sounds if len(getattr(sound, last))]
            if len(whole) < self.task.sounds:
                raise BadRow(
                    "nothing_generated",
                    f"{len(whole)} of {self.task.sounds} sounds came out in {output.steps} "
                    "steps; raise sampling.max_frames or change the seed",
                )
        return outputs

    def _check_codes(self, codes: Codes) -> None:
        """Refuse codes of another model, which a row may have brought."""
        try:
            if len(codes.recon):
                self.model.check_codes(codes)
        except ValueError as fault:
            raise BadRow("bad_codes", str(fault)) from fault

    def _with_results(
        self,
        table: pa.Table,
        spans: dict[int, list[PromptSpan]],
        generated: dict[int, list[RequestOutput]],
    ) -> pa.Table:
        count = table.num_rows
        reasons = {row: joined_reason(own) for row, own in generated.items()}
        reasons |= dict.fromkeys(_silent(table) & generated.keys(), NO_SPEECH)
        table = set_column(table, FINISH_REASON, scatter(reasons, count, pa.string()))
        if self.task.output != "text":
            for place, suffix in enumerate(sound_suffixes(self.task.sounds)):
                codes = {row: own[0].sounds[place] for row, own in generated.items()}
                table = write_codes(table, codes, suffix)
            return table
        texts = {
            row: [self.model.text_of(output.text_ids) for output in own]
            for row, own in generated.items()
        }
        whole = {row: joined_text(own) for row, own in texts.items()}
        table = set_column(table, TEXT, scatter(whole, count, pa.string()))
        values = {row: span_texts(spans[row], own) for row, own in texts.items()}
        return set_column(table, SPANS, scatter(values, count, SPAN_TEXTS_TYPE))


def _silent(table: pa.Table) -> set[int]:
    """Rows in which nobody speaks, as far as that was looked for."""
    if SPOKEN not in table.column_names:
        return set()
    return {row for row, spoken in enumerate(table.column(SPOKEN).to_pylist()) if spoken is False}
