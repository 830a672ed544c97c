"""Generates text or codes with the language model, from prompts that the task table lays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from torch import Tensor

from actors.batch.names import (
    FINISH_REASON,
    INPUT,
    MEAN_LOGPROB,
    NO_SPEECH,
    PASSAGES,
    SEGMENTS,
    SPANS,
    SPOKEN,
    TEXT,
    WORDS,
)
from actors.batch.schema import PASSAGES_TYPE, SPAN_TEXTS_TYPE, WORDS_TYPE
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
    mean_logprob,
    prompt_spans,
    span_texts,
)
from actors.inputs.text import read_text
from actors.speech.passages import named_passage, passage_cells, with_passages
from actors.stages.shared_engine import SharedEngine
from actors.storage.model_source import local_model
from actors.timing.heard_levels import read_levels
from actors.timing.span_times import HeardSpan, span_levels, time_rows
from uniaudio2.config import Padding
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.errors import BadRow
from uniaudio2.lm.engine.limits import PromptTooLong
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.passages import PassageRule
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import Prompt


class Generator:
    """Add `text` and its times, or both codes columns, and `finish_reason`; units may come from
    many threads.

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
        passages: how long texts are cut; None says all of a text at once.
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
        passages: PassageRule | None = None,
    ) -> None:
        self.passages = passages
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
        seeds = job_seeds(table, self.seed)
        spans, unread = each_row(alive(table), lambda row: self._spans(table, row, seeds[row]))
        silent = _silent(table)
        if self.task.no_speech == "empty":
            spans |= {row: [] for row in silent & spans.keys()}

        def requests_of(row: int) -> list[Request]:
            inputs, others, own = self._inputs(table, row), self._others(table, row), spans[row]
            found = []
            for number, span in enumerate(own):
                try:
                    found.append(self._request(inputs, others, span))
                except BadRow as error:
                    raise named_passage(error, number, len(own)) from error
            return found

        requests, errors = each_row(spans, requests_of)
        outputs = iter(self.engine.generate([one for own in requests.values() for one in own]))
        generated = {row: [next(outputs) for _ in own] for row, own in requests.items()}
        whole, empty = each_row(generated, lambda row: self._checked(generated[row]))
        table = mark_errors(table, "generate", unread | errors | empty)
        table = self._with_results(table, spans, whole)
        return self._with_times(table, spans, requests, whole)

    def _with_times(
        self,
        table: pa.Table,
        spans: dict[int, list[PromptSpan]],
        requests: dict[int, list[Request]],
        generated: dict[int, list[RequestOutput]],
    ) -> pa.Table:
        """Set `words` and `segments`, where they are asked for."""
        if self.task.times == "none":
            return table
        rows = {}
        for row, outputs in generated.items():
            levels = span_levels(read_levels(table, row), spans[row])
            texts = [self.model.text_of(output.text_ids) for output in outputs]
            parts = zip(spans[row], requests[row], outputs, texts, levels, strict=True)
            rows[row] = [HeardSpan(*part) for part in parts]
        timed = time_rows(self.model, self.task, rows, self.engine.run)
        segments = {row: own.segments for row, own in timed.items()}
        table = set_column(table, SEGMENTS, scatter(segments, table.num_rows, SPAN_TEXTS_TYPE))
        if self.task.times == "segment":
            return table
        words = {row: own.words for row, own in timed.items()}
        return set_column(table, WORDS, scatter(words, table.num_rows, WORDS_TYPE))

    def _spans(self, table: pa.Table, row: int, seed: int) -> list[PromptSpan]:
        """What is asked for a row: one prompt each for spans of its audio, or passages of its
        text."""
        spans = prompt_spans(table, row, self.model.config.codec, seed)
        column = self.task.spoken_column
        if self.passages is None or column is None:
            return spans
        text = read_text(self._inputs(table, row), column, self.task)
        return with_passages(spans[0], text, self.passages, seed)

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
        if span.text is not None and self.task.spoken_column:
            texts[self.task.spoken_column] = span.text
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
        for number, output in enumerate(outputs):
            whole = [sound for sound in output.sounds if len(getattr(sound, last))]
            if len(whole) < self.task.sounds:
                fault = BadRow(
                    "nothing_generated",
                    f"{len(whole)} of {self.task.sounds} sounds came out in {output.steps} "
                    "steps; raise sampling.max_frames or change the seed",
                )
                raise named_passage(fault, number, len(outputs))
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
        if self.sampling.logprobs:
            means = {row: mean_logprob(own) for row, own in generated.items()}
            table = set_column(table, MEAN_LOGPROB, scatter(means, count, pa.float64()))
        if self.task.output != "text":
            for place, suffix in enumerate(sound_suffixes(self.task.sounds)):
                codes = {
                    row: Codes.join([one.sounds[place] for one in own])
                    for row, own in generated.items()
                }
                table = write_codes(table, codes, suffix)
            if self.task.spoken_column is None:
                return table
            told = {row: passage_cells(spans[row], own) for row, own in generated.items()}
            return set_column(table, PASSAGES, scatter(told, count, PASSAGES_TYPE))
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
