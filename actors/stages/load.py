"""First stage: the rows of a unit, their audio as mono 24 kHz waves, codes and texts checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.audio_values import holds_lists_of_text, list_text, listed_files
from actors.batch.intermediate_store import read_kept
from actors.batch.names import (
    ATTEMPT,
    AUDIO_COLUMNS,
    CHANNEL_COLUMNS,
    CODE_COLUMNS,
    CUTS,
    FAULT_COLUMN,
    ID,
    INPUT_SAMPLES,
    PLACE,
    RECON_CODES,
    REFERENCE_FAULT,
    SOURCE,
    SPOKEN,
    UNIT,
    VOICE,
    WAVE,
)
from actors.batch.sample_arrays import cell_value
from actors.batch.schema import ALWAYS, MARKS, StageColumns
from actors.batch.table import (
    alive,
    attempt_column,
    each_row,
    mark_errors,
    scatter,
    set_column,
    start_table,
    write_codes,
)
from actors.batch.unit import UnitSpec, row_ids
from actors.columnar.cells import shown_value, valid_column
from actors.columnar.value_bounds import TOO_LARGE
from actors.inputs.audio import LoadedAudio, load_wave
from actors.inputs.audio_columns import write_loaded
from actors.inputs.channels import holds_channels
from actors.inputs.extra_audio import load_extra_audio, wave_of
from actors.inputs.row_loader import LoadedRow, RowLoader
from actors.prefetch.member_ranges import MemberRanges, members_together
from actors.speech.voices import VoiceDraw
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from uniaudio2.audio.embedded import is_embedded
from uniaudio2.audio.limits import MAX_DURATION_S
from uniaudio2.audio.spans import SpanRule
from uniaudio2.errors import BadRow
from uniaudio2.tasks.spec import AUDIO, REFERENCE, TaskSpec
from uniaudio2.tokens.codes import Codes

if TYPE_CHECKING:
    from torch import Tensor

_FETCH_THREADS = 4


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
        channel: what is heard of rows that choose no channel, see `RowLoader`.
        voices: which voice rows have, of a task that speaks with one.
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
        channel: int | Literal["each"] | None = None,
        voices: VoiceDraw | None = None,
    ) -> None:
        self.voices = voices
        self.allow = allow
        self.task = task
        self.schema = schema
        limits = limits or Limits()
        self.rows = RowLoader(task, max_duration_s, limits, rule, prompt_s, channel)

    @staticmethod
    def columns(task: TaskSpec) -> StageColumns:
        """What it writes; rows may bring codes in the place of audio."""
        audio = (WAVE, SOURCE, CUTS, INPUT_SAMPLES, *MARKS) if AUDIO in task.columns else ()
        others = tuple(wave_of(name) for name in task.other_audio)
        codes = CODE_COLUMNS if _has_codes(task) else ()
        spoken = (SPOKEN,) if task.no_speech != "keep" else ()
        compared = (REFERENCE_FAULT,) if REFERENCE in task.other_audio else ()
        voice = (VOICE,) if task.voiced else ()
        return StageColumns(writes=(*ALWAYS, *audio, *others, *codes, *spoken, *compared, *voice))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Read, check and decode; a bad row gets its error columns and stays."""
        spec = UnitSpec.from_table(table)
        if spec.kept:
            return _of_unit(read_kept(spec.kept, spec.row), spec)
        tables = [self._loaded(one, spec) for one in spec.singles]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()

    def _loaded(self, spec: UnitSpec, whole: UnitSpec) -> pa.Table:
        """The rows of one source.

        Args:
            spec: where they are.
            whole: the unit that they are done in.
        """
        sounds = (*AUDIO_COLUMNS, *self.task.other_audio)
        paths_only = () if AUDIO in self.rows.columns else AUDIO_COLUMNS
        longest = dict.fromkeys(sounds, self.rows.limits.max_bytes)
        raw = spec.read(limits=longest, paths_only=paths_only)
        policy = AddressPolicy(spec.base, self.allow, spec.tar)
        places, loaded = self._load_rows(raw, spec, policy)
        inputs = self._travelling(raw, places, [one.channel for one in loaded])
        names = [one.row_id for one in loaded]
        result = start_table(names, inputs, whole.unit, whole.row, whole.fingerprint)
        if self.rows.channel == "each":
            numbers = [spec.row_numbers[place] for place in places]
            result = set_column(result, PLACE, pa.array(numbers, pa.int64()))
        if spec.shown_keys:
            result = set_column(result, ATTEMPT, attempt_column(spec.attempts))
        values = {row: one.value for row, one in enumerate(loaded)}
        errors = {row: value for row, value in values.items() if isinstance(value, BadRow)}
        result = mark_errors(result, "load", errors)
        if AUDIO in self.task.columns:
            audio = {row: value for row, value in values.items() if isinstance(value, LoadedAudio)}
            result = write_loaded(result, audio)
            if self.task.no_speech != "keep":
                column = scatter(self._spoken(audio), result.num_rows, pa.bool_())
                result = set_column(result, SPOKEN, column)
        if self.voices is not None:
            result = self._with_voices(result, _taken(raw, (VOICE,), places), self.voices)
        others = self.task.other_audio
        result = load_extra_audio(
            result, _taken(raw, others, places), others, lambda value: self._other(value, policy)
        )
        codes = {row: value for row, value in values.items() if isinstance(value, Codes)}
        return write_codes(result, codes) if _has_codes(self.task) else result

    @staticmethod
    def _with_voices(table: pa.Table, raw: pa.Table, draw: VoiceDraw) -> pa.Table:
        """Add the voice of each row; one that names none of them gets its error."""
        ids = table.column(ID).to_pylist()

        def voice(row: int) -> str:
            asked = cell_value(VOICE, raw[VOICE][row]) if VOICE in raw.column_names else None
            return draw.voice_of(ids[row], asked)

        voices, errors = each_row(alive(table), voice)
        table = mark_errors(table, "load", errors)
        return set_column(table, VOICE, scatter(voices, table.num_rows, pa.string()))

    def _spoken(self, audio: Mapping[int, LoadedAudio]) -> dict[int, bool | None]:
        """Whether anybody speaks; None where that is only to be marked and cannot be told."""
        try:
            with ThreadPoolExecutor(_FETCH_THREADS) as pool:
                return dict(
                    zip(audio, pool.map(LoadedAudio.is_spoken, audio.values()), strict=True)
                )
        except (FileNotFoundError, ModuleNotFoundError):  # a node without the packages
            if self.task.no_speech == "empty":
                raise
            return {}

    def _other(self, value: object, policy: AddressPolicy) -> Tensor:
        longest_s = min(self.rows.max_duration_s, MAX_DURATION_S)
        return load_wave({AUDIO: value}, policy, longest_s, self.rows.limits)

    def _load_rows(
        self, raw: pa.Table, spec: UnitSpec, policy: AddressPolicy
    ) -> tuple[list[int], list[LoadedRow]]:
        """What became of the rows, in their order, and which row each of it comes of."""
        wanted = {FAULT_COLUMN, TOO_LARGE, *self.rows.columns}
        names = [name for name in raw.column_names if name in wanted]
        ids = [str(row_id) for row_id in row_ids(raw)]

        def work(place: int, members: MemberRanges | None) -> list[LoadedRow]:
            cells = {name: raw.column(name)[place] for name in names}
            with members.row(place) if members else nullcontext():
                return self.rows.load(cells, ids[place], policy, spec.wanted)

        in_tar = raw.column(AUDIO).to_pylist() if policy.tar and AUDIO in names else ()
        with (
            members_together(policy, in_tar, self.rows.limits) as members,
            ThreadPoolExecutor(_FETCH_THREADS) as pool,
        ):
            found = list(pool.map(partial(work, members=members), range(raw.num_rows)))
        places = [place for place, some in enumerate(found) for _ in some]
        return places, [one for some in found for one in some]

    def _travelling(self, raw: pa.Table, places: list[int], channels: list[int | None]) -> pa.Array:
        """The input columns as one struct, audio bytes replaced by the path beside them.

        Args:
            raw: rows of the manifest.
            places: of which of them the results come.
            channels: those that the job chose.
        """
        columns: list[pa.Array] = []
        fields: list[pa.Field] = []
        repeated = len(places) > raw.num_rows
        chosen = pa.array(channels, pa.int64())
        is_chosen = chosen.null_count < len(chosen)
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
            column = column.take(pa.array(places, pa.int64())) if repeated else column
            if is_chosen and field.name == CHANNEL_COLUMNS[0] and holds_channels(field.type):
                column = pc.coalesce(chosen.cast(field.type), column)
            columns.append(column)
            fields.append(field)
        return pa.StructArray.from_arrays(columns, fields=fields)


def _of_unit(table: pa.Table, spec: UnitSpec) -> pa.Table:
    """Kept rows as those of a unit, whose number, and files of attempts, may be others by now."""
    table = set_column(table, UNIT, pa.array([spec.unit] * table.num_rows, pa.int64()))
    known = [single for single in spec.singles if single.shown_keys]
    attempts = [one for single in known for one in single.attempts]
    return set_column(table, ATTEMPT, attempt_column(attempts)) if attempts else table


def _has_codes(task: TaskSpec) -> bool:
    is_encoded = AUDIO in task.columns and task.output != "scores"
    return is_encoded or RECON_CODES in task.columns


def _taken(raw: pa.Table, names: Sequence[str], places: list[int]) -> pa.Table:
    """Some columns of rows, those that are there, at least one."""
    rows = pa.array(places, pa.int64())
    there = {name: raw.column(name).take(rows) for name in names if name in raw.column_names}
    return pa.table(there or {PLACE: rows})


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _audio_name(cell: pa.Scalar) -> str | None:
    if pa.types.is_struct(cell.type) and cell.is_valid and "path" in cell:
        cell = cell["path"]
    if holds_lists_of_text(cell.type):
        files = listed_files(shown_value(cell))
        return list_text(files) if files else None
    # bytes and samples are not copied, only to be dropped
    is_name = not (_is_bytes(cell.type) or pa.types.is_nested(cell.type))
    value = shown_value(cell) if is_name else None
    return value if isinstance(value, str) and not is_embedded(value) else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
