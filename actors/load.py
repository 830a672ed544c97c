"""First stage: the rows of a unit, their audio as mono 24 kHz waves, codes and texts checked."""

from __future__ import annotations

import io
import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from actors.storage import read_uri
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
from uniaudio2.config import CODEBOOKS
from uniaudio2.errors import BadRow
from uniaudio2.tasks import TaskSpec

FAULT_COLUMN = "_manifest_fault"
AUDIO_COLUMNS = ("audio", "audio_filepath")
CODE_COLUMNS = {"reason_codes": "reason_path", "recon_codes": "recon_path"}
TEXT_COLUMNS = ("text", "caption", "question", "lyric")
_FETCH_THREADS = 4


class Loader:
    """Table of one unit's address in, table of the unit's rows out.

    Args:
        task: decides which columns are needed.
        schema: columns of the whole manifest; every unit is brought to it.
        max_duration_s: longest audio that is accepted.
    """

    def __init__(
        self, task: TaskSpec, schema: pa.Schema, max_duration_s: float = MAX_DURATION_S
    ) -> None:
        self.task = task
        self.schema = schema
        self.max_duration_s = max_duration_s

    def __call__(self, table: pa.Table) -> pa.Table:
        """Read, check and decode; a bad row gets its error columns and stays."""
        spec = UnitSpec.from_table(table)
        raw = spec.read()
        rows = raw.to_pylist()
        loaded, errors = self._load_rows(rows, spec.base)
        ids = [str(row_id) for row_id in row_ids(raw)]
        result = start_table(ids, self._travelling(raw, rows), spec.unit, spec.row)
        result = mark_errors(result, "load", errors)
        waves = {row: value for row, value in loaded.items() if isinstance(value, Tensor)}
        if waves or "audio" in self.task.columns:
            result = result.append_column("wave", wave_column(waves, len(rows)))
            lengths = {row: len(wave) for row, wave in waves.items()}
            result = set_column(result, "input_samples", scatter(lengths, len(rows), pa.int64()))
        codes = {row: value for row, value in loaded.items() if isinstance(value, Codes)}
        return write_codes(result, codes) if "recon_codes" in self.task.columns else result

    def _load_rows(
        self, rows: list[dict[str, Any]], base: str
    ) -> tuple[dict[int, Tensor | Codes | None], dict[int, BadRow]]:
        def work(row: int) -> Tensor | Codes | None:
            return self._load_row(rows[row], base)

        with ThreadPoolExecutor(_FETCH_THREADS) as pool:
            futures = {row: pool.submit(work, row) for row in range(len(rows))}
            return each_row(futures, lambda row: futures[row].result())

    def _load_row(self, row: dict[str, Any], base: str) -> Tensor | Codes | None:
        if row.get(FAULT_COLUMN):
            raise BadRow("bad_manifest_row", str(row[FAULT_COLUMN]))
        for column in self.task.columns:
            if column in TEXT_COLUMNS:
                read_text(row, column, self.task)
        if "audio" in self.task.columns:
            return load_audio(row, base, self.max_duration_s)
        if "recon_codes" in self.task.columns:
            return load_codes(row)
        return None

    def _travelling(self, raw: pa.Table, rows: list[dict[str, Any]]) -> pa.Array:
        """The input columns as one struct, audio bytes replaced by the path beside them."""
        columns: list[pa.Array] = []
        fields: list[pa.Field] = []
        for field in self.schema:
            if field.name in AUDIO_COLUMNS:
                values = [_audio_name(row.get(field.name)) for row in rows]
                field = pa.field(field.name, pa.string())
                column = pa.array(values, pa.string())
            elif field.name in raw.column_names:
                column = raw.column(field.name).cast(field.type).combine_chunks()
            else:
                column = pa.nulls(len(rows), field.type)
            columns.append(column)
            fields.append(field)
        return pa.StructArray.from_arrays(columns, fields=fields)


def _audio_name(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) else None


def read_text(row: dict[str, Any], column: str, task: TaskSpec) -> str:
    """The text of a row for a column of the task, or of the column that serves in its place.

    Raises:
        BadRow: `missing_value` or `empty_text`.
    """
    source = column if column in row else task.fallback.get(column, column)
    value = row.get(source)
    if value is None:
        raise BadRow("missing_value", f"column {source!r} is null; task {task.name} needs it")
    if not str(value).strip():
        raise BadRow("empty_text", f"column {source!r} is {value!r}; give a text")
    return str(value)


def _span_of(row: dict[str, Any]) -> tuple[float, float | None]:
    """Wanted span of a row: `start_s`/`end_s`, or `offset`/`duration` of a NeMo manifest."""
    try:
        start = row.get("start_s")
        end = row.get("end_s")
        if start is None and end is None and row.get("offset") is not None:
            start = float(row["offset"])
            duration = row.get("duration")
            end = None if duration is None else start + float(duration)
        return float(start or 0.0), None if end is None else float(end)
    except (TypeError, ValueError) as fault:
        raise BadRow("bad_span", f"{fault}; start_s and end_s are numbers of seconds") from fault


def resolve(path: str, base: str) -> str:
    """An audio path against the folder of its manifest; absolute paths and URLs stay."""
    if "://" in path or path.startswith("/"):
        return path
    return posixpath.join(base, path)


def load_audio(row: dict[str, Any], base: str, max_duration_s: float) -> Tensor:
    """Fetch and decode the audio of a row.

    Args:
        row: a manifest row; `audio` is a path, a URI, bytes or ``{"bytes", "path"}``.
        base: what a relative path is relative to.
        max_duration_s: longest span that is accepted.

    Returns:
        ``[N]`` float32 at 24 kHz.

    Raises:
        BadRow: `missing_value`, `missing_file` or what `decode_audio` finds.
    """
    value = next((row[name] for name in AUDIO_COLUMNS if row.get(name) is not None), None)
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None:
        raise BadRow("missing_value", "column 'audio' is null; give a path, a URI or bytes")
    start_s, end_s = _span_of(row)
    if not isinstance(value, bytes):
        uri = resolve(str(value), base)
        try:
            value = read_uri(uri)
        except (FileNotFoundError, IsADirectoryError, PermissionError, ValueError) as fault:
            raise BadRow(
                "missing_file",
                f"{uri}: {type(fault).__name__}; relative paths start at the manifest's folder",
            ) from fault
        except OSError as fault:
            if "://" in uri:
                raise  # storage did not answer: the unit is tried again
            raise BadRow("missing_file", f"{uri[:200]}: {fault.strerror}") from fault
    return decode_audio(value, start_s, end_s, max_duration_s)


def _codes_tensor(value: Any, name: str) -> Tensor:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iu":
            array = np.asarray(value, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as fault:
        raise BadRow("bad_codes", f"{name}: {fault}; expected [T][8] integers") from fault
    if array.size == 0:
        return Codes.empty().recon
    if array.ndim != 2 or array.shape[1] != CODEBOOKS:
        raise BadRow(
            "bad_codes", f"{name} has shape {array.shape}; expected [T, {CODEBOOKS}], time first"
        )
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.uint16).max):
        raise BadRow("bad_codes", f"{name} has values {array.min()}..{array.max()}; 0..65535 fit")
    return torch.from_numpy(array.astype(np.int64))  # [T, 8]


def _codes_file(uri: str, name: str) -> Tensor:
    """A published ``*_reason.pt`` or ``*_semantic.pt`` file, ``(8, T)`` or ``(T, 8)``."""
    try:
        tensor = torch.load(io.BytesIO(read_uri(uri)), map_location="cpu", weights_only=True)
    except FileNotFoundError as fault:
        raise BadRow("missing_file", f"{uri} is not there") from fault
    except Exception as fault:
        raise BadRow(
            "bad_codes", f"{uri}: {type(fault).__name__}; expected a plain integer tensor"
        ) from fault
    if not isinstance(tensor, Tensor) or tensor.ndim != 2 or CODEBOOKS not in tensor.shape:
        raise BadRow("bad_codes", f"{uri} holds no (8, T) or (T, 8) tensor")
    if tuple(tensor.shape) == (CODEBOOKS, CODEBOOKS):
        raise BadRow(
            "bad_codes", f"{uri} is (8, 8): time and codebooks cannot be told apart; use Parquet"
        )
    return _codes_tensor((tensor.T if tensor.shape[0] == CODEBOOKS else tensor).numpy(), name)


def load_codes(row: dict[str, Any]) -> Codes:
    """The codes that a row brings: as columns, or as the files of a published pair.

    Raises:
        BadRow: `missing_value`, `missing_file` or `bad_codes`.
    """
    found: dict[str, Tensor] = {}
    for name, path_column in CODE_COLUMNS.items():
        if row.get(name) is not None:
            found[name] = _codes_tensor(row[name], name)
        elif row.get(path_column) is not None:
            found[name] = _codes_file(str(row[path_column]), name)
    if len(found.get("recon_codes", ())) == 0:
        raise BadRow("missing_value", "'recon_codes' is null or empty; give at least one frame")
    return Codes(found.get("reason_codes", Codes.empty().reason), found["recon_codes"])


def seconds(samples: int) -> float:
    """Duration of so many samples at the working rate."""
    return samples / SAMPLE_RATE
