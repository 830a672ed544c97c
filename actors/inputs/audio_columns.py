"""Loaded audio as columns of the table that travels, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import pyarrow as pa

from actors.batch.names import CUTS, INPUT_SAMPLES, SOURCE, WAVE
from actors.batch.schema import MARK_TYPES, SOURCE_TYPE, SPANS_TYPE
from actors.batch.table import read_wave, scatter, set_column, wave_column
from actors.inputs.audio import AudioSource, LoadedAudio
from uniaudio2.audio.spans import Spans


def write_loaded(table: pa.Table, loaded: Mapping[int, LoadedAudio]) -> pa.Table:
    """Set the columns that say what was loaded: `wave`, `source`, `cuts`, `input_samples` and
    the marks."""
    count = table.num_rows
    waves = {row: one.wave for row, one in loaded.items() if one.wave is not None}
    sources = {row: asdict(one.source) for row, one in loaded.items() if one.source}
    spans = {row: one.spans for row, one in loaded.items()}
    samples = {row: one.samples for row, one in loaded.items()}
    table = set_column(table, WAVE, wave_column(waves, count))
    table = set_column(table, SOURCE, scatter(sources, count, SOURCE_TYPE))
    table = set_column(table, CUTS, scatter(spans, count, SPANS_TYPE))
    for name, kind in MARK_TYPES.items():
        marks = {row: one.marks.get(name) for row, one in loaded.items()}
        table = set_column(table, name, scatter(marks, count, kind))
    return set_column(table, INPUT_SAMPLES, scatter(samples, count, pa.int64()))


def read_loaded(table: pa.Table, row: int) -> LoadedAudio:
    """Undo `write_loaded` for one row that has audio."""
    source = table.column(SOURCE)[row].as_py()
    return LoadedAudio(
        table.column(INPUT_SAMPLES)[row].as_py(),
        read_wave(table, WAVE, row) if table.column(WAVE)[row].is_valid else None,
        AudioSource.of_cell(source) if source else None,
        read_cuts(table, row),
    )


def read_cuts(table: pa.Table, row: int) -> Spans | None:
    """The spans into which a row's audio was cut; None where it is one piece."""
    if CUTS not in table.column_names:
        return None
    cuts = table.column(CUTS)[row].as_py()
    return None if cuts is None else [(start, stop) for start, stop in cuts]
