"""Last stage: audio files, one data part and one errors part of a unit; the driver commits them.

Names carry a fresh token, so that what a dead attempt left behind can never be mistaken for what
a commit record names.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from typing import Any, Literal

import pyarrow as pa

from actors.batch.error_rows import crash_table, errors_table
from actors.batch.names import (
    AUDIO_PATH,
    CODE_COLUMNS,
    DURATION_S,
    ERROR_COLUMNS,
    ERROR_KIND,
    FINISH_REASON,
    ID,
    INPUT,
    INPUT_DURATION_S,
    INPUT_SAMPLES,
    MODEL,
    OUTPUT_WAVE,
    ROW,
    SCORE_REASONS,
    SEED,
    SPANS,
    TASK,
    TEXT,
    UNIT,
)
from actors.batch.receipt import FileMark, Receipt
from actors.batch.schema import (
    CODES_TYPE,
    MARK_TYPES,
    REASONS_TYPE,
    SCORE_TYPE,
    SPAN_TEXTS_TYPE,
    TRAVELLING,
    StageColumns,
    count_marks,
    family,
)
from actors.batch.table import (
    alive,
    each_row,
    mark_errors,
    read_samples,
    scatter,
    sound_suffixes,
)
from actors.batch.unit import UnitSpec
from actors.stages.part_file import parquet_bytes, store
from actors.storage.audio_files import AudioLayout, audio_objects
from actors.storage.object_store import Storage
from uniaudio2.audio.files import encode_samples
from uniaudio2.audio.resampling import SAMPLE_RATE, seconds
from uniaudio2.scores.table import score_columns
from uniaudio2.seeds import row_seed
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.tokens.streams import PAIR

AudioFormat = Literal["flac", "wav"]
_SLUG_CHARACTERS = 40


def file_stem(row_id: str) -> str:
    """A file name for any id: a readable piece and a hash of the whole, so that none collide."""
    digest = hashlib.blake2b(row_id.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", row_id).strip("-")[:_SLUG_CHARACTERS]
    return f"{slug}-{digest}" if slug else digest


def result_fields(task: TaskSpec, keep_codes: bool) -> list[pa.Field]:
    """Columns that a task produces, in the order in which they are written."""
    generates, decodes = "generate" in task.stages, "decode" in task.stages
    fields = [(ID, pa.string()), (TASK, pa.string())]
    if task.output == "text":
        fields.append((TEXT, pa.string()))
        if task.long_audio == "spans":
            fields.append((SPANS, SPAN_TEXTS_TYPE))
    streams = task.answer if generates and task.makes_codes else PAIR
    if task.makes_codes or (keep_codes and "encode" in task.stages):
        for suffix in sound_suffixes(max(task.sounds, 1)):
            fields += [(f"{one}_codes{suffix}", CODES_TYPE) for one in PAIR if one in streams]
    if decodes:
        for suffix in sound_suffixes(task.sounds):
            fields += [
                (f"{AUDIO_PATH}{suffix}", pa.string()),
                (f"{DURATION_S}{suffix}", pa.float64()),
            ]
    if AUDIO in task.columns:
        fields += [(INPUT_DURATION_S, pa.float64()), *MARK_TYPES.items()]
    if generates:
        fields.append((FINISH_REASON, pa.string()))
    if generates or decodes:
        fields.append((SEED, pa.int64()))
    fields.append((MODEL, pa.string()))
    if task.scorers:
        fields += [(name, SCORE_TYPE) for name in score_columns(task.scorers)]
        fields.append((SCORE_REASONS, REASONS_TYPE))
    return [pa.field(name, kind) for name, kind in fields]


def travelling_names(result: list[str], travelling: list[str]) -> dict[str, str]:
    """New names of the columns that travel through: `input_` in front where a result needs one."""
    taken = set(result) | set(travelling)
    names: dict[str, str] = {}
    for name in travelling:
        new = name
        if name in result:
            new = f"input_{name}"
            while new in taken:
                new = f"input_{new}"
            taken.add(new)
        names[name] = new
    return names


class Writer:
    """Write what a unit became.

    Args:
        output: OUTPUT of the run.
        task: decides the columns.
        travelling: columns of the manifest that go through to the results.
        model: fingerprint for the `model` column.
        seed: the job's seed.
        audio_format: kind of the audio files.
        audio_layout: a file each, or one tar a unit.
        keep_codes: write the codes of tasks that yield text, too.
    """

    def __init__(
        self,
        output: str,
        task: TaskSpec,
        travelling: pa.Schema,
        model: str,
        seed: int,
        audio_format: AudioFormat = "flac",
        audio_layout: AudioLayout = "files",
        keep_codes: bool = False,
    ) -> None:
        self.storage = Storage(output)
        self.task = task
        self.travelling = travelling
        self.model = model
        self.seed = seed
        self.audio_format = audio_format
        self.audio_layout = audio_layout
        self.fields = result_fields(task, keep_codes)

    @staticmethod
    def columns(task: TaskSpec, keep_codes: bool = False) -> StageColumns:
        """What it reads of the table."""
        suffixes = sound_suffixes(task.sounds) if "decode" in task.stages else []
        waves = tuple(f"{OUTPUT_WAVE}{suffix}" for suffix in suffixes)
        fields = [field.name for field in result_fields(task, keep_codes)]
        results = tuple(name for name in fields if family(name) in TRAVELLING)
        return StageColumns((UNIT, ROW, INPUT, *ERROR_COLUMNS, *waves, *results))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Store the unit and return its receipt, one row with a JSON `receipt`."""
        units = set(table.column(UNIT).to_pylist())
        if len(units) != 1:
            raise RuntimeError(f"a block holds units {sorted(units)}; a unit must stay one block")
        unit = units.pop()
        place = f"{unit:08d}-{uuid.uuid4().hex[:8]}"
        files: dict[str, FileMark] = {}
        table, output_s = self._store_audio(table, place, files)
        good = alive(table)
        bad = sorted(set(range(table.num_rows)) - set(good))
        results, errors = self._results(table, good), errors_table(table, bad)
        tar = ".tar" if self.audio_layout == "tar" else ""
        receipt = Receipt(
            unit=unit,
            row=table.column(ROW)[0].as_py(),
            ok=len(good),
            errors=len(bad),
            kinds=dict(Counter(kind for kind in table.column(ERROR_KIND).to_pylist() if kind)),
            data=self._put(f"data/part-{place}.parquet", results, files),
            error_parts=self._put(f"errors/part-{place}.parquet", errors, files),
            audio=f"audio/{place}{tar}" if output_s else None,
            input_s=_input_s(table, good),
            output_s=output_s,
            marks=count_marks(results),
            files=files,
        )
        return receipt.to_table()

    def _put(self, path: str, table: pa.Table, files: dict[str, FileMark]) -> tuple[str, ...]:
        if not table.num_rows:
            return ()
        files[path] = store(self.storage, path, parquet_bytes(table))
        return (path,)

    def _store_audio(
        self, table: pa.Table, place: str, files: dict[str, FileMark]
    ) -> tuple[pa.Table, float]:
        """Write the generated waves; returns the table with their paths, and seconds in all."""
        if "decode" not in self.task.stages:
            return table, 0.0
        ids, suffixes = table.column(ID).to_pylist(), sound_suffixes(self.task.sounds)

        def encode(row: int) -> list[tuple[bytes, float]]:
            waves = [read_samples(table, f"{OUTPUT_WAVE}{suffix}", row) for suffix in suffixes]
            return [(encode_samples(w, self.audio_format), len(w) / SAMPLE_RATE) for w in waves]

        encoded, errors = each_row(alive(table), encode)
        names = {
            row: [f"{file_stem(ids[row])}{suffix}.{self.audio_format}" for suffix in suffixes]
            for row in encoded
        }
        sounds = {
            name: data
            for row in encoded
            for name, (data, _) in zip(names[row], encoded[row], strict=True)
        }
        folder, objects = audio_objects(place, sounds, self.audio_layout)
        for path, data in objects.items():
            files[path] = store(self.storage, path, data)
        table, count = mark_errors(table, "write", errors), table.num_rows
        for place_of, suffix in enumerate(suffixes):
            paths = {row: f"{folder}/{own[place_of]}" for row, own in names.items()}
            durations = {row: own[place_of][1] for row, own in encoded.items()}
            column = scatter(paths, count, pa.string())
            table = table.append_column(f"{AUDIO_PATH}{suffix}", column)
            column = scatter(durations, count, pa.float64())
            table = table.append_column(f"{DURATION_S}{suffix}", column)
        return table, sum(duration_s for own in encoded.values() for _, duration_s in own)

    def _results(self, table: pa.Table, good: list[int]) -> pa.Table:
        good_rows = table.take(pa.array(good, pa.int64()))
        ids = good_rows.column(ID).to_pylist()
        made: dict[str, Any] = {
            TASK: pa.array([self.task.name] * len(ids), pa.string()),
            SEED: pa.array([row_seed(self.seed, name) for name in ids], pa.int64()),
            MODEL: pa.array([self.model] * len(ids), pa.string()),
        }
        if INPUT_SAMPLES in good_rows.column_names:
            samples = good_rows.column(INPUT_SAMPLES).to_pylist()
            durations = [None if n is None else seconds(n) for n in samples]
            made[INPUT_DURATION_S] = pa.array(durations, pa.float64())
            # tokens that an earlier build kept have none
            absent = MARK_TYPES.keys() - set(good_rows.column_names)
            made |= {name: pa.nulls(len(ids), MARK_TYPES[name]) for name in absent}
        columns = {
            field.name: made[field.name] if field.name in made else good_rows.column(field.name)
            for field in self.fields
        }
        names = travelling_names(list(columns), self.travelling.names)
        inputs = good_rows.column(INPUT).combine_chunks()
        for name, new in names.items():
            if new not in columns and not self._carried_as_result(name):
                columns[new] = inputs.field(name)
        return pa.table(columns)

    def _carried_as_result(self, name: str) -> bool:
        """Codes that came in as columns are the result's own codes columns already, unless the
        task makes other ones of them."""
        makes_others = "generate" in self.task.stages and self.task.makes_codes
        is_result = any(field.name == name for field in self.fields)
        return name in CODE_COLUMNS and is_result and not makes_others


def _input_s(table: pa.Table, good: list[int]) -> float:
    """Seconds of input audio in the good rows."""
    if INPUT_SAMPLES not in table.column_names:
        return 0.0
    samples = table.column(INPUT_SAMPLES).to_pylist()
    return seconds(sum(samples[row] or 0 for row in good))


def store_crash(output: str, spec: UnitSpec, kind: str, message: str, attempts: int) -> Receipt:
    """Write the errors part of one row that no worker survived, and return its receipt.

    Args:
        output: OUTPUT of the run.
        spec: address of the single row.
        kind: ``crash`` when its worker died, ``fault`` when its stage raised, ``out_of_memory``
            when that was for want of memory.
        message: what happened.
        attempts: how often it was tried.
    """
    table = crash_table(spec, kind, message, attempts)
    path = f"errors/part-{spec.unit:08d}-{uuid.uuid4().hex[:8]}.parquet"
    files = {path: store(Storage(output), path, parquet_bytes(table))}
    return Receipt(
        unit=spec.unit,
        row=spec.row,
        ok=0,
        errors=table.num_rows,
        files=files,
        kinds={kind: table.num_rows},
        error_parts=(path,),
    )
