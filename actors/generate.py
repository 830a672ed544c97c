"""LLM generation: prompts from the task table in, text or codes out, many rows in a batch."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from actors.cells import plain_value
from actors.load import read_text
from actors.model_source import local_model
from actors.pieces import (
    SPAN_TEXTS_TYPE,
    Piece,
    joined_reason,
    joined_text,
    pieces_of,
    span_texts,
)
from actors.shared_engine import SharedEngine
from actors.table import (
    alive,
    each_row,
    mark_errors,
    scatter,
    set_column,
    write_codes,
)
from uniaudio2.codes import Codes
from uniaudio2.errors import BadRow
from uniaudio2.lm.request import Generated, Request
from uniaudio2.lm.sampling import Sampling
from uniaudio2.model import UniAudio2
from uniaudio2.tasks import TaskSpec


class Generator:
    """Add `text` or both codes columns, and `finish_reason`; units may come from many threads.

    Args:
        model: what `local_model` takes.
        task: lays out the prompt and says what comes out.
        sampling: how tokens are chosen, and how many at most.
        seed: the job's seed.
        instruction: task prompt of the job; None for the task's own.
        slots: rows decoded together; the next row takes the place of one that is finished.
        threads: CPU threads of this actor; None leaves torch's choice.
    """

    def __init__(
        self,
        model: str,
        task: TaskSpec,
        sampling: Sampling,
        seed: int,
        instruction: str | None = None,
        slots: int = 16,
        threads: int | None = None,
    ) -> None:
        self.model = UniAudio2.load(local_model(model), parts=("lm",), threads=threads)
        self.task = task
        self.sampling = sampling
        self.seed = seed
        self.instruction = instruction or task.instruction
        self.engine = SharedEngine(lambda: self.model.engine(sampling, slots))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Generate for the rows that are still good."""
        codec = self.model.config.codec
        pieces = {row: pieces_of(table, row, codec, self.seed) for row in alive(table)}

        def requests_of(row: int) -> list[Request]:
            inputs = self._inputs(table, row)
            return [self._request(inputs, piece) for piece in pieces[row]]

        requests, errors = each_row(pieces, requests_of)
        answers = iter(self.engine.answer([one for own in requests.values() for one in own]))
        generated = {row: [next(answers) for _ in own] for row, own in requests.items()}
        return self._with_results(mark_errors(table, "generate", errors), pieces, generated)

    def _inputs(self, table: pa.Table, row: int) -> dict[str, Any]:
        """What the task reads of a row's own columns; the others may hold anything."""
        cells = table.column("input")[row]
        wanted = {*self.task.columns, *self.task.fallback.values(), "instruction"}
        return {name: plain_value(cells[name]) for name in wanted.intersection(cells)}

    def _request(self, row: dict[str, Any], piece: Piece) -> Request:
        values: dict[str, str | Codes] = {}
        self._check_codes(piece.codes)
        for column in self.task.columns:
            values[column] = piece.codes if column == "audio" else read_text(row, column, self.task)
        instruction = row.get("instruction") or self.instruction
        try:
            return self.model.request(
                self.task, values, str(instruction), piece.seed, self.sampling
            )
        except ValueError as fault:
            raise BadRow("too_long", str(fault)) from fault

    def _check_codes(self, codes: Codes) -> None:
        """Codes that a row brought may be another model's."""
        try:
            if len(codes.recon):
                self.model.check_codes(codes)
        except ValueError as fault:
            raise BadRow("bad_codes", str(fault)) from fault

    def _with_results(
        self,
        table: pa.Table,
        pieces: dict[int, list[Piece]],
        generated: dict[int, list[Generated]],
    ) -> pa.Table:
        count = table.num_rows
        reasons = {row: joined_reason(own) for row, own in generated.items()}
        table = set_column(table, "finish_reason", scatter(reasons, count, pa.string()))
        if self.task.output != "text":
            return write_codes(table, {row: own[0].codes for row, own in generated.items()})
        texts = {
            row: [self.model.text_of(answer.text_ids) for answer in own]
            for row, own in generated.items()
        }
        whole = {row: joined_text(own) for row, own in texts.items()}
        table = set_column(table, "text", scatter(whole, count, pa.string()))
        spans = {row: span_texts(pieces[row], own) for row, own in texts.items()}
        return set_column(table, "spans", scatter(spans, count, SPAN_TEXTS_TYPE))
