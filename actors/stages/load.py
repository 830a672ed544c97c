"""First stage: the rows of a unit, their audio as mono 24 kHz waves, codes and texts checked."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import pyarrow as pa
from torch import Tensor

from actors.batch.intermediate_store import read_kept
from actors.batch.schema import (
    ALWAYS,
    CODE_COLUMNS,
    CUTS,
    FAULT_COLUMN,
    INPUT_SAMPLES,
    RECON_CODES,
    SOURCE,
    SPAN_COLUMNS,
    WAVE,
    StageColumns,
)
from actors.batch.table import (
    each_row,
    mark_errors,
    start_table,
    write_codes,
)
from actors.batch.unit import UnitSpec, row_ids
from actors.columnar.cells import plain_value, shown_value, valid_column
from actors.columnar.value_bounds import TOO_LARGE, large_row, too_large_message
from actors.inputs.audio import AUDIO_COLUMNS, Heard, load_audio, load_wave, write_heard
from actors.inputs.codes import CODE_SOURCES, has_codes, load_codes
from actors.inputs.extra_audio import load_extra_audio, wave_of
from actors.inputs.text import check_text, read_text
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from uniaudio2.audio.resampling import seconds
from uniaudio2.audio.spans import SpanRule
from uniaudio2.audio.stream import MAX_DURATION_S
from uniaudio2.errors import BadRow
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.tokens.codes import Codes

_FETCH_THREADS = 4
_WITH_REASON = ("audio", "reason")


class Loader:
    """Table of one unit's address in, table of the unit's rows out.

    Args:
        task: decides which columns are needed.
        schema: columns of the whole manifest; every unit is brought to it.
        max_duration_s: longest audio that is accepted.
        limits: of bytes and time of an audio file.
        rule: cuts audio that is too long for one prompt; None leaves it in one piece.
        prompt_s: longest audio that any prompt can hold, where audio is not cut.
        allow: what rows may name besides what their manifest's place allows, see `AddressPolicy`.
    """

    def __init__(
        self,
        task: TaskSpec,
        schema: pa.Schema,
        max_duration_s: float = MAX_DURATION_S,
        limits: Limits | None = None,
        rule: SpanRule | None = None,
        prompt_s: float = inf,
        allow: tuple[str, ...] = (),
    ) -> None:
        self.allow = allow
        self.prompt_s = prompt_s
        self.rule = rule
        self.task = task
        self.schema = schema
        self.max_duration_s = max_duration_s
        self.limits = limits or Limits()

    @staticmethod
    def columns(task: TaskSpec) -> StageColumns:
        """What it writes; rows may bring codes in the place of audio."""
        audio = (WAVE, SOURCE, CUTS, INPUT_SAMPLES) if AUDIO in task.columns else ()
        others = tuple(wave_of(name) for name in task.other_audio)
        codes = CODE_COLUMNS if _has_codes(task) else ()
        return StageColumns(writes=(*ALWAYS, *audio, *others, *codes))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Read, check and decode; a bad row gets its error columns and stays."""
        spec = UnitSpec.from_table(table)
        if spec.kept:
            return read_kept(spec.kept, spec.row)
        sounds = (*AUDIO_COLUMNS, *self.task.other_audio)
        unheard = () if "audio" in self._wanted_columns() else AUDIO_COLUMNS
        longest = dict.fromkeys(sounds, self.limits.max_bytes)
        raw = spec.read(limits=longest, paths_only=unheard)
        policy = AddressPolicy(spec.base, self.allow, spec.tar)
        loaded, errors = self._load_rows(raw, policy)
        ids = [str(row_id) for row_id in row_ids(raw)]
        inputs = self._travelling(raw)
        result = start_table(ids, inputs, spec.unit, spec.row, spec.fingerprint)
        result = mark_errors(result, "load", errors)
        if "audio" in self.task.columns:
            heard = {row: value for row, value in loaded.items() if isinstance(value, Heard)}
            result = write_heard(result, heard)
        result = load_extra_audio(
            result, raw, self.task.other_audio, lambda v: self._other(v, policy)
        )
        codes = {row: value for row, value in loaded.items() if isinstance(value, Codes)}
        return write_codes(result, codes) if _has_codes(self.task) else result

    def _other(self, value: object, policy: AddressPolicy) -> Tensor:
        longest_s = min(self.max_duration_s, MAX_DURATION_S)
        return load_wave({AUDIO: value}, policy, longest_s, self.limits)

    def _load_rows(
        self, raw: pa.Table, policy: AddressPolicy
    ) -> tuple[dict[int, Heard | Codes | None], dict[int, BadRow]]:
        wanted = {FAULT_COLUMN, TOO_LARGE, *self._wanted_columns()}
        names = [name for name in raw.column_names if name in wanted]

        def work(row: int) -> Heard | Codes | None:
            return self._load_row({name: raw.column(name)[row] for name in names}, policy)

        with ThreadPoolExecutor(_FETCH_THREADS) as pool:
            futures = {row: pool.submit(work, row) for row in range(raw.num_rows)}
            return each_row(futures, lambda row: futures[row].result())

    def _wanted_columns(self) -> tuple[str, ...]:
        """The columns that are looked at; the others may hold anything."""
        heard = self.task.other_audio  # looked at by themselves
        wanted = tuple(name for name in self.task.columns if name not in heard)
        wanted += tuple(self.task.fallback.values())
        if "generate" in self.task.stages:
            wanted += ("instruction",)
        if "audio" in wanted:
            wanted += (*AUDIO_COLUMNS, *SPAN_COLUMNS, *CODE_SOURCES)
        if RECON_CODES in wanted:
            wanted += CODE_SOURCES
        return wanted

    def _text_columns(self) -> set[str]:
        return {*self.task.text_columns, *self.task.fallback.values(), "instruction"}

    def _load_row(self, cells: dict[str, pa.Scalar], policy: AddressPolicy) -> Heard | Codes | None:
        row = {name: cells[name] if name in CODE_COLUMNS else plain_value(cells[name])
               for name in cells}  # fmt: skip
        if row.get(FAULT_COLUMN):
            raise BadRow("bad_manifest_row", str(row[FAULT_COLUMN]))
        if message := too_large_message(row.get(TOO_LARGE)):
            is_text = self._text_columns() & large_row(row[TOO_LARGE]).keys()
            raise BadRow("too_long" if is_text else "too_large", message)
        for column in self.task.text_columns:
            read_text(row, column, self.task)
        if row.get("instruction") is not None:
            check_text(row["instruction"], "instruction")
        if RECON_CODES in self.task.columns or self._brings_codes(row):
            return self._load_codes(row, policy)
        if "audio" in self.task.columns:
            return self._load_audio(row, policy)
        return None

    def _load_audio(self, row: Mapping[str, Any], policy: AddressPolicy) -> Heard:
        heard = load_audio(row, policy, self.max_duration_s, self.limits, self.rule)
        if seconds(heard.samples) > self.prompt_s:
            raise BadRow(
                "too_long",
                f"{seconds(heard.samples):.1f} s of audio; a prompt of task {self.task.name} "
                f"holds less than {self.prompt_s:.1f} s; cut it with start_s and end_s",
            )
        return heard

    def _brings_codes(self, row: Mapping[str, Any]) -> bool:
        """Whether codes stand in for the row's audio.

        A task that only makes codes makes them anew wherever there is audio.
        """
        if "audio" not in self.task.columns or not has_codes(row):
            return False
        makes_codes = self.task.output == "codes" and "generate" not in self.task.stages
        return not (makes_codes and any(row.get(name) is not None for name in AUDIO_COLUMNS))

    def _load_codes(self, row: Mapping[str, Any], policy: AddressPolicy) -> Codes:
        codes = load_codes(row, policy, self.limits.timeout_s)
        if not len(codes.reason) and any(part.kind in _WITH_REASON for part in self.task.prompt):
            raise BadRow(
                "missing_value",
                f"'reason_codes' is null or empty; task {self.task.name} needs them beside "
                "'recon_codes'",
            )
        return codes

    def _travelling(self, raw: pa.Table) -> pa.Array:
        """The input columns as one struct, audio bytes replaced by the path beside them."""
        columns: list[pa.Array] = []
        fields: list[pa.Field] = []
        for field in self.schema:
            if field.name in (*AUDIO_COLUMNS, *self.task.other_audio):
                cells = raw.column(field.name) if field.name in raw.column_names else []
                values = [_audio_name(cell) for cell in cells] or [None] * raw.num_rows
                field = pa.field(field.name, pa.string())
                column = pa.array(values, pa.string())
            elif field.name in raw.column_names:
                column = _one_array(valid_column(raw.column(field.name)).cast(field.type))
            else:
                column = pa.nulls(raw.num_rows, field.type)
            columns.append(column)
            fields.append(field)
        return pa.StructArray.from_arrays(columns, fields=fields)


def _has_codes(task: TaskSpec) -> bool:
    return bool({AUDIO, RECON_CODES} & set(task.columns))


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _audio_name(cell: pa.Scalar) -> str | None:
    if pa.types.is_struct(cell.type) and cell.is_valid and "path" in cell:
        cell = cell["path"]
    # bytes are not copied, only to be dropped
    value = shown_value(cell) if not _is_bytes(cell.type) else None
    return value if isinstance(value, str) else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
