"""Which scorers judge the results of a job, what looks for speech, and whether they can."""

from __future__ import annotations

from typing import Any

from uniaudio2.scores.table import DEFAULT, SCORERS, compares, get_scorers
from uniaudio2.tasks.spec import AUDIO, REFERENCE, SPOKEN_TAG, NoSpeech, TaskSpec, Times

_HEARD = (SPOKEN_TAG, "lyric")  # what is spoken, and what is sung
EXTRA = "pip install 'uniaudio2-batch[score]'"
BY_ITSELF = {"resemblyzer": "pip install --no-deps resemblyzer"}
"""Packages that the extra cannot bring: this one asks for `webrtcvad`, which has to be compiled."""


def how_to_install(missing: list[str]) -> str:
    """The commands that bring packages of scorers.

    Args:
        missing: their names.
    """
    commands = [EXTRA] if set(missing) - BY_ITSELF.keys() else []
    return " and ".join([*commands, *(BY_ITSELF[name] for name in missing if name in BY_ITSELF)])


def scored_task(
    task: TaskSpec, asked: tuple[str, ...] | None, needed: tuple[str, ...] = ()
) -> TaskSpec:
    """A task with its scorers, and the stage that has them.

    Args:
        task: as it stands in the table, or in a file.
        asked: names of scorers; None takes the task's own.
        needed: names of others that a rule reads.

    Raises:
        ValueError: no such scorer, or the task has nothing for it to judge.
    """
    own = DEFAULT if task.output == "scores" else ()
    names = (*((task.scorers or own) if asked is None else asked), *needed)
    if not names:
        if task.output == "scores":
            raise ValueError("score.scorers is empty; name some, or leave it out")
        return task
    scorers = get_scorers(names)
    for scorer in scorers:
        if task.output == "codes":
            raise ValueError(
                f"scorer {scorer.name!r}: task {task.name} yields codes, which nothing scores; "
                "leave score.scorers out"
            )
        if "tokens" in scorer.inputs and "generate" not in task.stages:
            raise ValueError(
                f"scorer {scorer.name!r} asks how probable drawn tokens were, and task {task.name} "
                "draws none: leave it out"
            )
        if "reference" in scorer.inputs and task.output == "audio" and task.reference is None:
            raise ValueError(
                f"scorer {scorer.name!r} compares with a recording, and task {task.name} has none: "
                "use a task that has an audio prompt, or leave the scorer out"
            )
        if task.output == "text" and "sound" in scorer.inputs:
            judged = [name for name, one in SCORERS.items() if "sound" not in one.inputs]
            raise ValueError(
                f"scorer {scorer.name!r} hears sound, and task {task.name} yields text: use task "
                f"score for its recordings, or of the scorers {', '.join(judged)}"
            )
    stages = tuple(dict.fromkeys((*task.stages, "score")))
    changed: dict[str, Any] = {"scorers": tuple(one.asked for one in scorers), "stages": stages}
    if task.output == "scores" and compares(names):
        changed["optional"] = (*task.optional, REFERENCE)
    return task.model_copy(update=changed)


def voiced_task(task: TaskSpec, voices: str | None) -> TaskSpec:
    """A task whose audio prompt is a voice of the job.

    Args:
        task: as it stands in the table, or in a file.
        voices: their manifest; None leaves the task as it is.

    Raises:
        ValueError: it hears a row's audio in another way, or not at all.
    """
    if voices is None:
        if task.voiced:
            raise ValueError(
                f"task {task.name} is voiced, and the job names no voices; leave voiced out of its "
                "definition, or give tts.voices"
            )
        return task
    kinds = {item.kind for item in task.prompt if item.column == AUDIO}
    if kinds != {"audio_prompt"} or "generate" not in task.stages:
        raise ValueError(
            f"tts.voices: task {task.name} has no audio prompt that a voice could be; use "
            "prompt_instruct_tts, or a task of your own whose prompt has an item of kind "
            "audio_prompt and column audio"
        )
    columns = tuple(name for name in task.columns if name != AUDIO)
    return task.model_copy(update={"columns": columns, "voiced": True})


def gated_task(task: TaskSpec, asked: NoSpeech | None) -> TaskSpec:
    """A task that writes down what is spoken, with what becomes of recordings without speech.

    Args:
        task: any; of others nothing changes.
        asked: None marks them where the packages are installed.
    """
    writes_down = task.output_tag == SPOKEN_TAG and task.columns == (AUDIO,)
    if not writes_down or "generate" not in task.stages:
        return task
    if asked is None:
        asked = "mark" if not SCORERS["speech"].missing else "keep"
    return task.model_copy(update={"no_speech": asked})


def timed_task(task: TaskSpec, asked: Times | None) -> TaskSpec:
    """A task that writes down what is spoken or sung, with the times that are told of it.

    Args:
        task: any; of others nothing changes.
        asked: None takes words.
    """
    writes_down = task.output_tag in _HEARD and task.audio_columns == (AUDIO,)
    if not writes_down or task.long_audio != "spans" or "generate" not in task.stages:
        return task
    return task.model_copy(update={"times": asked or "word"})


def transcribes(task: TaskSpec) -> bool:
    """Whether a scorer needs the model to listen to the sound that is scored."""
    wanted = any("transcript" in one.inputs for one in get_scorers(task.scorers))
    return wanted and task.output != "text"


def check_scorers(task: TaskSpec) -> None:
    """Refuse what needs packages that are missing, before anything is started.

    Raises:
        ValueError: one is; the message says how it is installed.
    """
    speech = SCORERS["speech"]
    if task.no_speech != "keep" and speech.missing:
        raise ValueError(
            f"asr.no_speech {task.no_speech!r} needs {', '.join(speech.missing)}, which is not "
            f"installed: {EXTRA}, or give asr.no_speech=keep"
        )
    for scorer in get_scorers(task.scorers):
        if scorer.missing:
            raise ValueError(
                f"scorer {scorer.name!r} needs {', '.join(scorer.missing)}, which is not "
                f"installed: {how_to_install(scorer.missing)}, or name others with score.scorers"
            )
