"""Audio that a table holds as numbers: lists of samples, or ``{array, sampling_rate, path}``.

Such are decoded sounds of Hugging Face `datasets`, of NumPy and of pandas. They are heard as a WAV
file of theirs would be, so that spans, channels and limits are those of any other file.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from actors.batch.names import AUDIO_COLUMNS, MOST_CHANNELS, RATE_COLUMNS
from actors.columnar.cells import plain_value, shown_value
from uniaudio2.errors import BadRow

_ARRAY = "array"
_MOST_BYTES = 2 << 30  # a WAV file's header can say 4 GiB
_LOUDEST = 8.0  # louder floats are whole numbers by another name
_FASTEST_HZ = 768_000
_HALF_RANGE = 1 << 15


def holds_samples(kind: pa.DataType) -> bool:
    """Whether a type is a list of numbers, of lists of them, or a struct with one as `array`."""
    if pa.types.is_struct(kind):
        place = kind.get_field_index(_ARRAY)
        return place >= 0 and _is_array(kind.field(place).type)
    return _is_array(kind)


def _is_array(kind: pa.DataType, depth: int = 2) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_array(kind.storage_type, depth)
    if depth == 0 or not _is_list(kind):
        return False
    value = kind.value_type
    is_number = pa.types.is_integer(value) or pa.types.is_floating(value)
    return bool(is_number) or _is_array(value, depth - 1)


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list,
             pa.types.is_list_view, pa.types.is_large_list_view)  # fmt: skip
    return any(test(kind) for test in tests)


def cell_value(name: str, cell: pa.Scalar) -> Any:
    """The value of a manifest's cell: of audio columns as `audio_cell`, else as `plain_value`."""
    return audio_cell(cell) if name in AUDIO_COLUMNS else plain_value(cell)


def audio_cell(cell: pa.Scalar) -> Any:
    """The value of a cell of an audio column; lists of numbers as arrays, ``[N]`` or ``[C, N]``.

    Raises:
        BadRow: `bad_manifest_row`, the cell cannot be read, or its lists differ in length.
    """
    if not cell.is_valid or not holds_samples(cell.type):
        return plain_value(cell)
    if pa.types.is_struct(cell.type):
        return {
            name: _array(cell[name]) if name == _ARRAY else plain_value(cell[name]) for name in cell
        }
    return _array(cell)


def _array(cell: pa.Scalar) -> np.ndarray | None:
    if not cell.is_valid:
        return None
    if isinstance(cell.type, pa.BaseExtensionType):
        cell = cell.value
    values = cell.values
    if not _is_list(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    found = [_array(values[row]) for row in range(len(values))]
    channels = [channel for channel in found if channel is not None]
    if len(channels) < len(found) or len({len(channel) for channel in channels}) > 1:
        raise BadRow(
            "bad_manifest_row",
            "column 'audio' holds lists of different lengths; give one list of samples for every "
            "channel, all of one length",
        )
    return np.stack(channels) if channels else np.zeros((0, 0), np.float32)


def encoded_samples(value: Any, rates: Mapping[str, Any]) -> bytes:
    """Samples as the bytes of a WAV file: float32, or 16 bits where they are whole numbers.

    Args:
        value: ``[N]`` or ``[C, N]``, an array or nested lists: floats in [-1, 1], or whole numbers
            of 16 bits. Bytes of a file, as a list of uint8, are given back.
        rates: holds the sampling rate in Hz as one of `RATE_COLUMNS`.

    Raises:
        BadRow: `missing_value` without a rate, else `bad_manifest_row`, `bad_span` (more channels
            than are taken) or `too_large`.
    """
    try:
        samples = np.asarray(value)
    except ValueError:
        samples = np.empty(0, object)
    if samples.dtype == np.uint8 and samples.ndim == 1:
        return samples.tobytes()
    if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2):
        raise _unfit("holds lists that are no samples: their lengths differ, or they hold other")
    rate = _rate(rates)
    samples = np.atleast_2d(samples)  # [C, N]
    if samples.shape[0] > MOST_CHANNELS or samples.shape[0] > max(samples.shape[1], 1):
        raise BadRow(
            "bad_span",
            f"column 'audio' holds {samples.shape[0]} lists of {samples.shape[1]} numbers; a list "
            f"is a channel, and at most {MOST_CHANNELS} are taken: transpose them",
        )
    if 4 * samples.size > _MOST_BYTES:
        raise BadRow("too_large", f"column 'audio' holds {samples.size} samples; give it as a file")
    file = io.BytesIO()
    kind = "FLOAT" if samples.dtype.kind == "f" else "PCM_16"
    soundfile.write(file, _fitting(samples).T, rate, kind, format="WAV")
    return file.getvalue()


def _fitting(samples: np.ndarray) -> np.ndarray:
    """Samples as float32 or int16, ``[C, N]``."""
    if not samples.size:
        return samples.astype(np.float32 if samples.dtype.kind == "f" else np.int16)
    low, high = samples.min(), samples.max()
    if samples.dtype.kind == "f":
        loudest = max(-float(low), float(high))  # NaN and infinity are found where files' are
        if math.isfinite(loudest) and loudest > _LOUDEST:
            raise _unfit(f"holds floats up to {loudest:.4g}; floats lie in [-1, 1]: divide")
        return samples.astype(np.float32)
    if samples.dtype.itemsize == 1 or not -_HALF_RANGE <= low <= high < _HALF_RANGE:
        raise _unfit(f"holds {samples.dtype} up to {high}; whole numbers are of 16 bits: convert")
    return samples.astype(np.int16)


def _unfit(found: str) -> BadRow:
    return BadRow("bad_manifest_row", f"column 'audio' {found} them, or give a file")


def _rate(rates: Mapping[str, Any]) -> int:
    rate = next((rates[name] for name in RATE_COLUMNS if rates.get(name) is not None), None)
    if rate is None:
        raise BadRow(
            "missing_value",
            "column 'audio' holds samples, and nothing says their rate; give it in Hz as column "
            f"{RATE_COLUMNS[0]!r}",
        )
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not is_number or not 1 <= rate <= _FASTEST_HZ or int(rate) != rate:
        raise BadRow(
            "bad_manifest_row",
            f"{RATE_COLUMNS[0]} is {rate!r:.40}; give a whole number of Hz up to {_FASTEST_HZ}",
        )
    return int(rate)


def with_digests(table: pa.Table) -> pa.Table:
    """A table with hashes in the place of the samples that its audio columns hold."""
    for name in AUDIO_COLUMNS:
        place = table.schema.get_field_index(name)
        if place >= 0 and holds_samples(table.schema.field(place).type):
            digests = [_digest(cell) for cell in table.column(place)]
            table = table.set_column(place, name, pa.array(digests, pa.string()))
    return table


def _digest(cell: pa.Scalar) -> str | None:
    if not cell.is_valid:
        return None
    try:
        value = audio_cell(cell)
    except BadRow:  # which its row will say
        value = repr(shown_value(cell))
    digest = hashlib.blake2b(digest_size=16)
    for part in value.values() if isinstance(value, dict) else [value]:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
