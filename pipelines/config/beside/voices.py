"""Read a job's voices: a manifest of reference recordings, all heard before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from actors.batch.names import (
    AUDIO_COLUMNS,
    FAULT_COLUMN,
    RATE_COLUMNS,
    SPAN_COLUMNS,
    VOICE,
)
from actors.batch.sample_arrays import cell_value
from actors.batch.unit import row_ids
from actors.columnar.column_names import ColumnNames
from actors.columnar.constants import with_constants
from actors.columnar.file_rows import read_parquet_rows
from actors.columnar.value_bounds import TOO_LARGE, too_large_message
from actors.inputs.audio import load_wave
from actors.speech.voices import LONGEST_VOICE_S, Voice, Voices, wave_fingerprint
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from actors.storage.file_systems import UnknownFileSystem
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.naming import named_sources
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.scan import Scan
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted
from uniaudio2.tasks.spec import AUDIO

MOST_VOICES = 10_000
MOST_HELD_BYTES = 64 << 20
_THREADS = 8
_Row = tuple[str, dict[str, Any], AddressPolicy]
_COLUMNS = (*AUDIO_COLUMNS, *RATE_COLUMNS, *SPAN_COLUMNS, VOICE, FAULT_COLUMN, TOO_LARGE)


def read_voices(uri: str, limits: Limits, allow: tuple[str, ...] = ()) -> Voices:
    """The voices of a manifest: of each row its recording, named by `voice`, else by the row's id.

    Every recording is fetched and decoded here, so that a bad one is told before anything costs.

    Args:
        uri: the manifest.
        limits: of bytes and time of a recording.
        allow: what rows may name besides, see `AddressPolicy`.

    Raises:
        UsageError: it cannot be read, or a row of it is bad; the message names the first.
    """
    try:
        scan = Scan(MOST_VOICES + 1)
        sources = named_sources(find_sources(uri, scan), uri, {AUDIO: AUDIO_COLUMNS}, scan)
        rows = [row for source in sources for row in _rows_of(source, allow)]
    except (UnknownFileSystem, OSError) as fault:
        raise UsageError(f"tts.voices: {uri}: {fault}; name a manifest that can be read") from fault
    if not rows or len(rows) > MOST_VOICES:
        raise UsageError(
            f"tts.voices: {uri} has {'no rows' if not rows else 'too many rows'}; it must have a "
            f"recording a row, {MOST_VOICES:,} at most"
        )
    with ThreadPoolExecutor(_THREADS) as pool:
        voices = list(pool.map(lambda one: _voice(one, limits, uri), rows))
    by_name: dict[str, Voice] = {}
    for voice in voices:
        if voice.name in by_name:
            raise UsageError(
                f"tts.voices: {uri} has voice {quoted(voice.name)} twice; give each recording a "
                "name of its own, in column voice or id"
            )
        by_name[voice.name] = voice
    held = sum(len(value) for voice in voices for value in _bytes_in(voice.row))
    if held > MOST_HELD_BYTES:
        raise UsageError(
            f"tts.voices: {uri} holds {held:,} bytes of sound itself; all workers are sent that, "
            f"so at most {MOST_HELD_BYTES:,}: put the recordings into files that it names"
        )
    return Voices(tuple(by_name[name] for name in sorted(by_name)), limits)


def _rows_of(source: Source, allow: tuple[str, ...]) -> Iterator[_Row]:
    if source.table is not None:
        table = source.table
    else:
        table = with_constants(
            read_parquet_rows(source.uri, 0, min(source.rows, MOST_VOICES + 1)), source.constants
        )
        table = ColumnNames.of_text(source.names).table(table)
    policy = AddressPolicy(source.base, allow, source.uri if source.pinned else "")
    names = [name for name in table.column_names if name in _COLUMNS]
    for row, row_id in enumerate(row_ids(table)):
        yield str(row_id), {n: cell_value(n, table.column(n)[row]) for n in names}, policy


def _voice(named: _Row, limits: Limits, uri: str) -> Voice:
    """Hear one recording."""
    row_id, row, policy = named
    name = row_id if row.get(VOICE) is None else str(row[VOICE])
    try:
        if row.get(FAULT_COLUMN):
            raise BadRow("bad_manifest_row", str(row[FAULT_COLUMN]))
        if message := too_large_message(row.get(TOO_LARGE)):
            raise BadRow("too_large", message)
        wave = load_wave(row, policy, LONGEST_VOICE_S, limits)
    except BadRow as error:
        raise UsageError(f"tts.voices: voice {quoted(name)} of {uri}: {error.message}") from error
    sound = {key: value for key, value in row.items() if value is not None and key != VOICE}
    return Voice(name, sound, policy, wave_fingerprint(wave))


def _bytes_in(row: Mapping[str, Any]) -> Iterator[bytes]:
    for value in row.values():
        if isinstance(value, Mapping):
            yield from _bytes_in(value)
        elif isinstance(value, bytes):
            yield value
