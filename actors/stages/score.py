"""Judges what a task made, or what a manifest names: one figure a column, or why there is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from actors.batch.names import (
    INPUT,
    MEAN_LOGPROB,
    OUTPUT_WAVE,
    REFERENCE_FAULT,
    SCORE_REASONS,
    SOURCE,
    TEXT,
    VOICE,
    WAVE,
)
from actors.batch.schema import REASONS_TYPE, SCORE_TYPE
from actors.batch.table import alive, each_row, mark_errors, read_wave, scatter, set_column
from actors.columnar.cells import plain_value
from actors.inputs.audio import LoadedAudio
from actors.inputs.audio_columns import read_loaded
from actors.inputs.extra_audio import wave_of
from actors.speech.voices import PerVoice, Voices
from actors.stages.pools import scorer_columns
from actors.storage.model_source import local_model
from uniaudio2.audio.files import whole
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.audio.spans import SpanRule
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.errors import BadRow
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.scoring import RowScores, Scoring
from uniaudio2.scores.speaker import known_voices
from uniaudio2.scores.table import compares, get_scorers, score_columns
from uniaudio2.scores.transcriber import Transcriber
from uniaudio2.tasks.spec import REFERENCE, TaskSpec

_TRANSCRIBED_AT_ONCE = 600 * SAMPLE_RATE
_MOST_VOICES = 4096  # kept as vectors, a kB each
_TEXTS = ("text", "lyric")  # what is, or should be, said


class RowScorer:
    """Add the columns of a task's scorers, and `score_reasons`.

    What is heard is the first sound that the task made, or of task `score` the row's audio.

    Args:
        model: what `local_model` takes; it is loaded where it has to listen.
        task: names the scorers.
        rule: cuts what the model listens to; None where it does not.
        slots: spans that it transcribes together.
        threads: CPU threads of this actor; so many rows are scored side by side.
        voices: of the job, where sounds are compared with them.

    Raises:
        FileNotFoundError: a package of a scorer, or a file of it, is not installed here.
    """

    def __init__(
        self,
        model: str,
        task: TaskSpec,
        rule: SpanRule | None = None,
        slots: int = 16,
        threads: int | None = None,
        voices: Voices | None = None,
    ) -> None:
        self.voices = PerVoice(voices, known_voices, _MOST_VOICES) if voices else None
        if threads is not None:
            torch.set_num_threads(threads)
        self.task = task
        self.transcriber: Transcriber | None = None
        if rule is not None:
            loaded = UniAudio2.load(local_model(model), parts=("encoder", "lm"))
            self.transcriber = Transcriber(loaded, rule, slots)
        self.threads = threads or 1
        self.scoring = Scoring(get_scorers(task.scorers))
        self.names = score_columns(task.scorers)
        self.compares = compares(task.scorers)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Score the rows that are still good."""
        rows = alive(table)
        transcripts = self._transcripts(table, rows)
        drawn = [None] * table.num_rows
        if MEAN_LOGPROB in table.column_names:
            drawn = table.column(MEAN_LOGPROB).to_pylist()

        def score(row: int) -> RowScores | BadRow:
            try:
                wave, text = self._wave(table, row), _text(table, row)
                reference = self._reference(table, row) if self.compares else None
                heard = Heard(wave, text, transcripts.get(row), reference, drawn[row])
                return self.scoring.score(heard)
            except BadRow as error:
                return error

        with ThreadPoolExecutor(self.threads) as pool:
            found = dict(zip(rows, pool.map(score, rows), strict=True))
        errors = {row: one for row, one in found.items() if isinstance(one, BadRow)}
        scores = {row: one for row, one in found.items() if isinstance(one, RowScores)}
        table = self._with_scores(mark_errors(table, "score", errors), scores)
        drops = scorer_columns(self.task).drops
        return table.drop_columns(list(drops)) if drops else table

    def _with_scores(self, table: pa.Table, scores: dict[int, RowScores]) -> pa.Table:
        count = table.num_rows
        for name in self.names:
            values = {row: one.values.get(name) for row, one in scores.items()}
            table = set_column(table, name, scatter(values, count, SCORE_TYPE))
        reasons = {
            row: [{"score": name, "reason": reason} for name, reason in one.reasons.items()] or None
            for row, one in scores.items()
        }
        return set_column(table, SCORE_REASONS, scatter(reasons, count, REASONS_TYPE))

    def _wave(self, table: pa.Table, row: int) -> Tensor | None:
        """What is heard of a row, ``[N]`` float32 at 24 kHz; long audio is read again."""
        if self.task.output == "text":
            return None
        if self.task.output == "audio":
            return read_wave(table, OUTPUT_WAVE, row)
        return _read_whole(read_loaded(table, row))

    def _reference(self, table: pa.Table, row: int) -> Heard | str | None:
        """The recording that a row's sound is compared with, or why it has none."""
        if self.voices is not None:
            name = table.column(VOICE)[row].as_py()
            found = self.voices.of([name])[name]
            return found.message if isinstance(found, BadRow) else found
        if self.task.output == "scores":
            if table.column(wave_of(REFERENCE))[row].is_valid:
                return Heard(read_wave(table, wave_of(REFERENCE), row))
            fault: str | None = table.column(REFERENCE_FAULT)[row].as_py()
            return fault
        if not (table.column(WAVE)[row].is_valid or table.column(SOURCE)[row].is_valid):
            return None  # it came as codes
        try:
            return Heard(_read_whole(read_loaded(table, row)))
        except BadRow as error:
            return error.message

    def _transcripts(self, table: pa.Table, rows: list[int]) -> dict[int, str]:
        """What a model heard: this task's own text, or what is heard here, short waves together."""
        if self.task.output == "text":
            texts = table.column(TEXT).to_pylist()
            return {row: texts[row] for row in rows if texts[row] is not None}
        if self.transcriber is None:
            return {}
        found: dict[int, str] = {}
        held: dict[int, Tensor] = {}
        for row in rows:
            read, _ = each_row([row], lambda one: self._wave(table, one))  # told when it is scored
            held |= {one: wave for one, wave in read.items() if wave is not None and len(wave)}
            if row == rows[-1] or sum(map(len, held.values())) >= _TRANSCRIBED_AT_ONCE:
                found |= zip(held, self.transcriber(list(held.values())), strict=True)
                held.clear()
        return found


def _read_whole(loaded: LoadedAudio) -> Tensor:
    """A row's audio, ``[N]``; what is long is read again."""
    if loaded.wave is not None:
        return loaded.wave
    assert loaded.source is not None  # noqa: S101 - long audio has one
    with loaded.source.open() as stream:
        return whole(stream)


def _text(table: pa.Table, row: int) -> str | None:
    """The text of a row; None where it has none, or what is no text."""
    cells: Any = table.column(INPUT)[row]
    for name in _TEXTS:
        if name in cells:
            value = plain_value(cells[name])
            return value if isinstance(value, str) else None
    return None
