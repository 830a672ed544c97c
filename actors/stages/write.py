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

from actors.batch.error_rows import errors_table
from actors.batch.names import (
    AUDIO_PATH,
    CODE_COLUMNS,
    DURATION_S,
    ERROR_COLUMNS,
    FINISH_REASON,
    ID,
    INPUT,
    INPUT_DURATION_S,
    INPUT_SAMPLES,
    MODEL,
    OUTPUT_WAVE,
    PASSAGES,
    ROW,
    SCORE_REASONS,
    SEED,
    SPANS,
    TASK,
    TEXT,
    UNIT,
    VOICE,
)
from actors.batch.receipt import FileMark, Receipt
from actors.batch.schema import (
    CODES_TYPE,
    MARK_TYPES,
    PASSAGES_TYPE,
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
    job_seeds,
    mark_errors,
    read_samples,
    scatter,
    set_column,
    sound_suffixes,
)
from actors.stages.part_file import parquet_bytes, store
from actors.stages.pools import timed_columns
from actors.storage.audio_files import AudioLayout, audio_objects
from actors.storage.object_store import Storage
from actors.verify.sifting import VERIFY_FIELDS, Sifted, Sifter, Sounds, Verifying
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


def result_fields(task: TaskSpec, keep_codes: bool, verifies: bool = False) -> list[pa.Field]:
    """Columns that a task produces, in the order in which they are written."""
    generates, decodes = "generate" in task.stages, "decode" in task.stages
    fields = [(ID, pa.string()), (TASK, pa.string())]
    if task.output == "text":
        fields.append((TEXT, pa.string()))
        if task.long_audio == "spans":
            fields.append((SPANS, SPAN_TEXTS_TYPE))
        if generates:
            fields += [(name, TRAVELLING[name]) for name in timed_columns(task)]
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
    if task.spoken_column:
        fields.append((PASSAGES, PASSAGES_TYPE))
    if task.voiced:
        fields.append((VOICE, pa.string()))
    if generates or decodes:
        fields.append((SEED, pa.int64()))
    fields.append((MODEL, pa.string()))
    if task.scorers:
        fields += [(name, SCORE_TYPE) for name in score_columns(task.scorers)]
        fields.append((SCORE_REASONS, REASONS_TYPE))
    found = [pa.field(name, kind) for name, kind in fields]
    return [*found, *VERIFY_FIELDS] if verifies else found


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
        verifying: what is asked of results; None takes them all.
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
        verifying: Verifying | None = None,
    ) -> None:
        self.storage = Storage(output)
        self.task = task
        self.travelling = travelling
        self.model = model
        self.seed = seed
        self.audio_format = audio_format
        self.audio_layout = audio_layout
        self.fields = result_fields(task, keep_codes, verifying is not None)
        self.sift = Sifter(self.storage, verifying, seed) if verifying else None

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
        table, sounds = self._encoded(table)
        good = alive(table)
        bad = sorted(set(range(table.num_rows)) - set(good))
        done = Sifted(self._results(table, good), errors_table(table, bad), sounds)
        if self.sift is not None:
            done = self.sift(table, done.results, done.errors, sounds)
        folder = self._store_audio(place, done, files)
        results, output_s = self._with_paths(done.results, folder)
        receipt = Receipt(
            unit=unit,
            row=table.column(ROW)[0].as_py(),
            ok=results.num_rows,
            errors=done.errors.num_rows,
            kinds=dict(Counter(done.errors["kind"].to_pylist())),
            data=self._put(f"data/part-{place}.parquet", results, files),
            error_parts=self._put(f"errors/part-{place}.parquet", done.errors, files),
            audio=folder if output_s else None,
            input_s=self._input_s(results),
            output_s=output_s,
            marks=count_marks(results),
            files=files,
            again=done.again,
            attempts=done.attempts,
        )
        return receipt.to_table()

    def _put(self, path: str, table: pa.Table, files: dict[str, FileMark]) -> tuple[str, ...]:
        if not table.num_rows:
            return ()
        files[path] = store(self.storage, path, parquet_bytes(table))
        return (path,)

    @property
    def _suffixes(self) -> list[str]:
        """Of the sounds of a row."""
        return sound_suffixes(self.task.sounds) if "decode" in self.task.stages else []

    def _encoded(self, table: pa.Table) -> tuple[pa.Table, Sounds]:
        """The generated waves as files, by the ids of their rows; and the table with columns for
        their paths, and with their seconds."""
        ids, suffixes = table.column(ID).to_pylist(), self._suffixes
        if not suffixes:
            return table, {}

        def encode(row: int) -> list[tuple[bytes, float]]:
            waves = [read_samples(table, f"{OUTPUT_WAVE}{suffix}", row) for suffix in suffixes]
            return [(encode_samples(w, self.audio_format), len(w) / SAMPLE_RATE) for w in waves]

        encoded, errors = each_row(alive(table), encode)
        table, count = mark_errors(table, "write", errors), table.num_rows
        for place, suffix in enumerate(suffixes):
            table = table.append_column(f"{AUDIO_PATH}{suffix}", pa.nulls(count, pa.string()))
            durations = {row: own[place][1] for row, own in encoded.items()}
            column = scatter(durations, count, pa.float64())
            table = table.append_column(f"{DURATION_S}{suffix}", column)
        return table, {ids[row]: [data for data, _ in own] for row, own in encoded.items()}

    def _name(self, row_id: str, suffix: str) -> str:
        return f"{file_stem(row_id)}{suffix}.{self.audio_format}"

    def _store_audio(self, place: str, done: Sifted, files: dict[str, FileMark]) -> str:
        """Write the audio of rows that are done; returns what paths to it begin with."""
        sounds = {
            self._name(row_id, suffix): data
            for row_id in done.results.column(ID).to_pylist()
            for suffix, data in zip(self._suffixes, done.sounds.get(row_id, ()), strict=True)
        }
        folder, objects = audio_objects(place, sounds, self.audio_layout)
        for path, data in objects.items():
            files[path] = store(self.storage, path, data)
        return folder

    def _with_paths(self, results: pa.Table, folder: str) -> tuple[pa.Table, float]:
        """Results that name their audio, and its seconds in all."""
        ids, output_s = results.column(ID).to_pylist(), 0.0
        for suffix in self._suffixes:
            paths = [f"{folder}/{self._name(row_id, suffix)}" for row_id in ids]
            results = set_column(results, f"{AUDIO_PATH}{suffix}", pa.array(paths, pa.string()))
            output_s += sum(results.column(f"{DURATION_S}{suffix}").to_pylist())
        return results, output_s

    def _results(self, table: pa.Table, good: list[int]) -> pa.Table:
        good_rows = table.take(pa.array(good, pa.int64()))
        ids, seeds = good_rows.column(ID).to_pylist(), job_seeds(good_rows, self.seed)
        made: dict[str, Any] = {
            # told by `Sifter`
            **{one.name: pa.nulls(len(ids), one.type) for one in VERIFY_FIELDS},
            TASK: pa.array([self.task.name] * len(ids), pa.string()),
            SEED: pa.array(map(row_seed, seeds, ids), pa.int64()),
            MODEL: pa.array([self.model] * len(ids), pa.string()),
        }
        if PASSAGES not in good_rows.column_names:  # tokens that an earlier build kept
            made[PASSAGES] = pa.nulls(len(ids), PASSAGES_TYPE)
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

    def _input_s(self, results: pa.Table) -> float:
        """Seconds of input audio of results."""
        if not any(field.name == INPUT_DURATION_S for field in self.fields):
            return 0.0
        return float(sum(filter(None, results.column(INPUT_DURATION_S).to_pylist())))
