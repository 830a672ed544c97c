"""The stages of actor pools, for whoever does not run them: their classes by name, so that no
process but a pool's own imports what multiplies, and what they state of the table."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.batch.names import (
    CODE_COLUMNS,
    CUTS,
    ERROR_KIND,
    FINISH_REASON,
    ID,
    INPUT,
    INPUT_SAMPLES,
    LEVELS,
    MEAN_LOGPROB,
    OUTPUT_WAVE,
    PASSAGES,
    REFERENCE_FAULT,
    SCORE_REASONS,
    SEGMENTS,
    SOURCE,
    SPANS,
    SPOKEN,
    TEXT,
    VOICE,
    WAVE,
    WORDS,
)
from actors.batch.schema import StageColumns
from actors.batch.table import Stage, sound_suffixes
from actors.inputs.extra_audio import extra_suffix, wave_of
from uniaudio2.scores.table import compares, counts_tokens, score_columns
from uniaudio2.tasks.spec import REFERENCE, TaskSpec

MakeStage = Callable[..., Stage]


@dataclass(frozen=True)
class StageClass:
    """A stage's class, imported when one is made of it.

    Attributes:
        module: where it is.
        name: of the class.
    """

    module: str
    name: str

    def __call__(self, **arguments: Any) -> Stage:
        """Build a stage."""
        kind: MakeStage = getattr(importlib.import_module(self.module), self.name)
        return kind(**arguments)


ENCODER = StageClass("actors.stages.encode", "Encoder")
GENERATOR = StageClass("actors.stages.generate", "Generator")
DECODER = StageClass("actors.stages.decode", "Decoder")
SCORER = StageClass("actors.stages.score", "RowScorer")


def encoder_columns(task: TaskSpec) -> StageColumns:
    """What `Encoder` reads and writes; codes that rows bring are read, and stay."""
    if task.voiced:
        return StageColumns(reads=(ERROR_KIND, VOICE), writes=CODE_COLUMNS)
    suffixes = [extra_suffix(name) for name in task.other_audio]
    codes = tuple(f"{name}{suffix}" for suffix in suffixes for name in CODE_COLUMNS)
    waves = tuple(wave_of(name) for name in task.other_audio)
    return StageColumns(
        reads=(ERROR_KIND, WAVE, SOURCE, *waves, *CODE_COLUMNS, INPUT_SAMPLES, CUTS),
        writes=(*CODE_COLUMNS, *codes, *((LEVELS,) if task.times != "none" else ())),
        drops=(*waves, *(() if compares(task.scorers) else (WAVE, SOURCE))),
    )


def generator_columns(task: TaskSpec) -> StageColumns:
    """What `Generator` reads and writes."""
    reads = [ERROR_KIND, ID, INPUT]
    if task.audio_columns:
        suffixes = ("", *(extra_suffix(name) for name in task.other_audio))
        reads += [f"{name}{suffix}" for suffix in suffixes for name in CODE_COLUMNS]
        reads += [] if task.voiced else [INPUT_SAMPLES, CUTS]
    if task.no_speech != "keep":
        reads.append(SPOKEN)
    if task.output == "text":
        texts = (FINISH_REASON, TEXT, SPANS, *timed_columns(task), *_counted(task))
        return StageColumns(tuple(reads), texts)
    suffixes = tuple(sound_suffixes(task.sounds))
    codes = tuple(f"{name}{suffix}" for suffix in suffixes for name in CODE_COLUMNS)
    passages = (PASSAGES,) if task.spoken_column else ()
    return StageColumns(tuple(reads), (FINISH_REASON, *codes, *passages, *_counted(task)))


def _counted(task: TaskSpec) -> tuple[str, ...]:
    """The column that tells how probable tokens were, where some scorer asks."""
    return (MEAN_LOGPROB,) if counts_tokens(task.scorers) else ()


def timed_columns(task: TaskSpec) -> tuple[str, ...]:
    """Columns that tell when a transcript is spoken."""
    return {"none": (), "segment": (SEGMENTS,), "word": (SEGMENTS, WORDS)}[task.times]


def decoder_columns(task: TaskSpec) -> StageColumns:
    """What `Decoder` reads and writes."""
    suffixes = sound_suffixes(task.sounds)
    codes = tuple(f"{name}{suffix}" for suffix in suffixes for name in CODE_COLUMNS)
    waves = tuple(f"{OUTPUT_WAVE}{suffix}" for suffix in suffixes)
    passages = (PASSAGES,) if task.spoken_column else ()
    return StageColumns((ERROR_KIND, ID, *codes, *passages), waves)


def scorer_columns(task: TaskSpec) -> StageColumns:
    """What `RowScorer` reads and writes: it hears what was made, or what task `score` is given."""
    heard: tuple[str, ...] = (TEXT,)
    drops: tuple[str, ...] = ()
    loaded = (WAVE, SOURCE, INPUT_SAMPLES, CUTS)
    if task.output == "audio":
        heard = (OUTPUT_WAVE,)
        if compares(task.scorers):
            more = (VOICE,) if task.voiced else loaded
            heard, drops = (*heard, *more), () if task.voiced else (WAVE, SOURCE)
    elif task.output == "scores":
        heard, drops = loaded, (WAVE, SOURCE)
        if compares(task.scorers):
            heard = (*heard, wave_of(REFERENCE), REFERENCE_FAULT)
            drops = (*drops, wave_of(REFERENCE), REFERENCE_FAULT)
    names = tuple(score_columns(task.scorers))
    reads = (ERROR_KIND, INPUT, *heard, *_counted(task))
    return StageColumns(reads, (*names, SCORE_REASONS), drops)
