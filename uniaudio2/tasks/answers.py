"""Where worked examples hold the answers of a task."""

from __future__ import annotations

from uniaudio2.tasks.spec import AUDIO, TaskSpec

_OF_TAG = {"caption": "caption", "lyric": "lyric"}  # what manifests call such texts


def answer_columns(task: TaskSpec) -> list[tuple[str, ...]]:
    """Columns in which examples hold the answers of a task: for each answer, the best first."""
    if task.output == "text":
        also = (_OF_TAG.get(task.output_tag or ""), "text")
        others = [name for name in also if name and name not in task.columns]
        return [tuple(dict.fromkeys(("answer", *others)))]
    first: tuple[str, ...] = ("answer_audio",)
    first += () if AUDIO in task.columns else (AUDIO,)
    return [first, *((f"answer_audio_{number}",) for number in range(2, task.sounds + 1))]
