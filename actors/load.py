"""First stage: the rows of a unit, their audio as mono 24 kHz waves, codes and texts checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from torch import Tensor

from actors.cells import plain_value, shown_value, valid_column
from actors.codes import CODE_COLUMNS, load_codes
from actors.fetch import MAX_BYTES, fetch, resolve
from actors.shelf import read_kept
from actors.table import (
    each_row,
    mark_errors,
    scatter,
    set_column,
    start_table,
    wave_column,
    write_codes,
)
from actors.unit import UnitSpec, row_ids
from uniaudio2.audio import MAX_DURATION_S, SAMPLE_RATE, decode_audio
from uniaudio2.codes import Codes
from uniaudio2.errors import BadRow
from uniaudio2.tasks import TaskSpec

FAULT_COLUMN = "_manifest_fault"
AUDIO_COLUMNS = ("audio", "audio_filepath")
TEXT_COLUMNS = ("text", "caption", "question", "lyric")
SPAN_COLUMNS = ("start_s", "end_s", "offset", "duration", "audio_channel")
MAX_TEXT_CHARACTERS = 1_000_000
_FETCH_THREADS = 4


class Loader:
    """Table of one unit's address in, table of the unit's rows out.

    Args:
        task: decides which columns are needed.
        schema: columns of the whole manifest; every unit is brought to it.
        max_duration_s: longest audio that is accepted.
        max_bytes: largest audio file that is accepted.
    """

    def __init__(
        self,
        task: TaskSpec,
        schema: pa.Schema,
        max_duration_s: float = MAX_DURATION_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.task = task
        self.schema = schema
        self.max_duration_s = max_duration_s
        self.max_bytes = max_bytes

    def __call__(self, table: pa.Table) -> pa.Table:
        """Read, check and decode; a bad row gets its error columns and stays."""
        spec = UnitSpec.from_table(table)
        if spec.kept:
            return read_kept(spec.kept, spec.row)
        raw = spec.read()
        loaded, errors = self._load_rows(raw, spec.base)
        ids = [str(row_id) for row_id in row_ids(raw)]
        inputs = self._travelling(raw)
        result = start_table(ids, inputs, spec.unit, spec.row, spec.fingerprint)
        result = mark_errors(result, "load", errors)
        waves = {row: value for row, value in loaded.items() if isinstance(value, Tensor)}
        if waves or "audio" in self.task.columns:
            result = result.append_column("wave", wave_column(waves, raw.num_rows))
            lengths = {row: len(wave) for row, wave in waves.items()}
            result = set_column(result, "input_samples", scatter(lengths, raw.num_rows, pa.int64()))
        codes = {row: value for row, value in loaded.items() if isinstance(value, Codes)}
        return write_codes(result, codes) if "recon_codes" in self.task.columns else result

    def _load_rows(
        self, raw: pa.Table, base: str
    ) -> tuple[dict[int, Tensor | Codes | None], dict[int, BadRow]]:
        wanted = {FAULT_COLUMN, *self._wanted_columns()}
        names = [name for name in raw.column_names if name in wanted]

        def work(row: int) -> Tensor | Codes | None:
            return self._load_row({name: raw.column(name)[row] for name in names}, base)

        with ThreadPoolExecutor(_FETCH_THREADS) as pool:
            futures = {row: pool.submit(work, row) for row in range(raw.num_rows)}
            return each_row(futures, lambda row: futures[row].result())

    def _wanted_columns(self) -> tuple[str, ...]:
        """The columns that are looked at; the others may hold anything."""
        wanted = (*self.task.columns, *self.task.fallback.values())
        if "generate" in self.task.stages:
            wanted += ("instruction",)
        if "audio" in wanted:
            wanted += (*AUDIO_COLUMNS, *SPAN_COLUMNS)
        if "recon_codes" in wanted:
            wanted += (*CODE_COLUMNS, *CODE_COLUMNS.values())
        return wanted

    def _load_row(self, cells: dict[str, pa.Scalar], base: str) -> Tensor | Codes | None:
        row = {name: cells[name] if name in CODE_COLUMNS else plain_value(cells[name])
               for name in cells}  # fmt: skip
        if row.get(FAULT_COLUMN):
            raise BadRow("bad_manifest_row", str(row[FAULT_COLUMN]))
        for column in self.task.columns:
            if column in TEXT_COLUMNS:
                read_text(row, column, self.task)
        if row.get("instruction") is not None:
            check_text(row["instruction"], "instruction")
        if "audio" in self.task.columns:
            return load_audio(row, base, self.max_duration_s, self.max_bytes)
        if "recon_codes" in self.task.columns:
            return load_codes(row, base)
        return None

    def _travelling(self, raw: pa.Table) -> pa.Array:
        """The input columns as one struct, audio bytes replaced by the path beside them."""
        columns: list[pa.Array] = []
        fields: list[pa.Field] = []
        for field in self.schema:
            if field.name in AUDIO_COLUMNS:
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


def read_text(row: Mapping[str, Any], column: str, task: TaskSpec) -> str:
    """The text of a row for a column of the task, or of the column that serves in its place.

    Raises:
        BadRow: `missing_value`, `empty_text`, `bad_text` or `too_long`.
    """
    source = column if column in row else task.fallback.get(column, column)
    value = row.get(source)
    if value is None:
        raise BadRow("missing_value", f"column {source!r} is null; task {task.name} needs it")
    text = check_text(value, source)
    if not text.strip():
        raise BadRow("empty_text", f"column {source!r} is {text[:40]!r}; give a text")
    return text


def check_text(value: Any, column: str) -> str:
    """A value as text.

    Raises:
        BadRow: `bad_text` when it is neither text nor number, `too_long`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(
            "bad_text", f"column {column!r} holds a {type(value).__name__}; give a text or a number"
        )
    text = str(value)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadRow(
            "too_long",
            f"column {column!r} has {len(text)} characters; at most {MAX_TEXT_CHARACTERS}; cut it",
        )
    return text


def span_of(row: Mapping[str, Any]) -> tuple[float, float | None]:
    """Wanted span of a row: `start_s`/`end_s`, or `offset`/`duration` of a NeMo manifest.

    Raises:
        BadRow: `bad_span`.
    """
    try:
        start = row.get("start_s")
        end = row.get("end_s")
        if start is None and end is None and row.get("offset") is not None:
            start = float(row["offset"])
            duration = row.get("duration")
            end = None if duration is None else start + float(duration)
        return float(start or 0.0), None if end is None else float(end)
    except (TypeError, ValueError, OverflowError) as fault:
        raise BadRow("bad_span", f"{fault}; start_s and end_s are numbers of seconds") from fault


def channel_of(row: Mapping[str, Any]) -> int | None:
    """Wanted channel of a row, counted from 0; None for the average of all.

    Raises:
        BadRow: `bad_span`.
    """
    value = row.get("audio_channel")
    if value is None:
        return None
    try:
        if int(value) == float(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadRow("bad_span", f"audio_channel is {value!r}; give a whole number from 0")


def _audio_value(row: Mapping[str, Any]) -> bytes | str:
    """What names or holds the audio of a row."""
    value = next((row[name] for name in AUDIO_COLUMNS if row.get(name) is not None), None)
    if isinstance(value, str) and value.startswith("{"):
        try:  # a column of mixed kinds arrives as JSON
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        raise BadRow("missing_value", "column 'audio' is null or empty; give a path, URI or bytes")
    if not isinstance(value, bytes | str):
        raise BadRow(
            "bad_manifest_row",
            f"column 'audio' holds a {type(value).__name__}; give a path, a URI, bytes or "
            "{bytes, path}",
        )
    return value


def load_audio(
    row: Mapping[str, Any], base: str, max_duration_s: float, max_bytes: int = MAX_BYTES
) -> Tensor:
    """Fetch and decode the audio of a row.

    Args:
        row: a manifest row; `audio` is a path, a URI, bytes or ``{"bytes", "path"}``,
            `audio_channel` the one channel to take instead of the average of all.
        base: what a relative path is relative to.
        max_duration_s: longest span that is accepted.
        max_bytes: largest file that is accepted.

    Returns:
        ``[N]`` float32 at 24 kHz.

    Raises:
        BadRow: `missing_value`, `bad_manifest_row`, or what `fetch` and `decode_audio` find.
    """
    value = _audio_value(row)
    start_s, end_s = span_of(row)
    channel = channel_of(row)
    data = value if isinstance(value, bytes) else fetch(resolve(value, base), max_bytes)
    return decode_audio(data, start_s, end_s, max_duration_s, channel)


def seconds(samples: int) -> float:
    """Duration of so many samples at the working rate."""
    return samples / SAMPLE_RATE
