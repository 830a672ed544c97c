"""Derive how much audio goes into one prompt, and text into one answer, from job and model."""

from __future__ import annotations

from math import inf

from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from uniaudio2.audio.spans import FRAME_HZ, SpanRule
from uniaudio2.config import LATENT_RATE_HZ, REASON_RATE_HZ, RECON_RATE_HZ, ModelConfig
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.scores.spec import TRANSCRIPTION
from uniaudio2.tasks.passages import PassageRule
from uniaudio2.tasks.table import TASKS, TaskSpec

_POSITIONS_PER_S = {
    "audio": REASON_RATE_HZ + RECON_RATE_HZ,
    "reason": REASON_RATE_HZ,
    "recon": RECON_RATE_HZ,
    "audio_prompt": RECON_RATE_HZ,
}
_OTHER_POSITIONS = 128  # instruction and markers
_SHORTEST_SPAN_S = 1.0
_PAUSE_SHARE = 8
_ROOM_USED = 0.7  # of an answer, by the model's usual speed


def _positions_per_s(task: TaskSpec) -> float:
    """Positions of a prompt that a second of audio takes."""
    return sum(
        _POSITIONS_PER_S.get(part.kind, 0.0) for part in task.prompt if part.column == "audio"
    )


def span_rule(job: JobConfig, model: ModelConfig) -> SpanRule | None:
    """The rule by which long audio is cut into spans; None where the task takes it as a whole.

    A span is by default a little shorter than what the codec encodes at once: more would cost
    another segment. A silence of an eighth of that is not worth its place in the prompt.

    Raises:
        UsageError: the job wants longer spans than a prompt holds beside its answer.
    """
    task = job.spec
    if "generate" not in task.stages or task.long_audio != "spans":
        return None
    return _rule(task, job.sampling.for_task(task, model).max_frames, job, model)


def transcript_rule(job: JobConfig, model: ModelConfig) -> SpanRule:
    """The rule by which the model that listens for a score cuts what it hears.

    Raises:
        UsageError: see `span_rule`.
    """
    task = TASKS[TRANSCRIPTION]
    return _rule(task, Sampling.of_model(model, task).max_frames, job, model)


def _rule(task: TaskSpec, answer: int, job: JobConfig, model: ModelConfig) -> SpanRule:
    fits_s = (model.lm.context - answer - _OTHER_POSITIONS) / _positions_per_s(task)
    segment_s = model.codec.segment_frames / LATENT_RATE_HZ - 1 / FRAME_HZ
    max_s = job.spans.max_s or max(min(segment_s, fits_s), _SHORTEST_SPAN_S)
    if job.spans.max_s and max_s > fits_s:
        raise UsageError(
            f"spans.max_s {max_s:g} does not fit: a prompt of {model.lm.context} positions holds "
            f"{fits_s:.1f} s beside {answer} of its answer; lower it, or sampling.max_frames"
        )
    return SpanRule(max_s=max_s, pause_s=job.spans.pause_s or max(max_s / _PAUSE_SHARE, 0.25))


def passage_rule(job: JobConfig, model: ModelConfig) -> PassageRule | None:
    """The rule by which long texts are cut; None where the task speaks none, or all at once.

    Where neither job nor model's card says how much is said at once, it is a part of what an
    answer has room for: some speak slower than others.

    Raises:
        UsageError: passages are to be longer than texts that are not cut.
    """
    task, asked, speech = job.spec, job.tts, model.speech
    if task.spoken_column is None or asked.long_text == "whole":
        return None
    if not (model.trained or asked.longest_s):  # it says nothing, however much it is asked to
        return None
    frames = job.sampling.for_task(task, model).max_frames
    fits_s = _ROOM_USED * frames / (REASON_RATE_HZ + RECON_RATE_HZ)
    longest_s = asked.longest_s or min(speech.longest_s or fits_s, fits_s)
    passage_s = asked.passage_s or min(speech.passage_s or longest_s, longest_s)
    if passage_s > longest_s:
        raise UsageError(
            f"tts.passage_s {passage_s:g} is above tts.longest_s {longest_s:g}; texts are cut from "
            "there on: lower the one or raise the other"
        )
    rate = asked.letters_per_s or speech.letters_per_s
    return PassageRule(
        longest=longest_s * rate,
        wanted=passage_s * rate,
        most=asked.max_row_s * rate,
        sentence_pause_s=asked.sentence_pause_s,
        clause_pause_s=asked.clause_pause_s,
        word_pause_s=asked.word_pause_s,
    )


def prompt_seconds(job: JobConfig, model: ModelConfig) -> float:
    """Audio that is longer fits into no prompt of the task, whatever else is in it."""
    task = job.spec
    rate = _positions_per_s(task)
    if "generate" not in task.stages or task.long_audio == "spans" or not rate:
        return inf
    return model.lm.context / rate
