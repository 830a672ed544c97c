"""The command that a job runs: what the user typed, if it means the same on the cluster."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from uniaudio2.checkpoint.folders import bundled_models
from uniaudio2.shown import quoted
from uniaudio2.tasks.table import TASKS

# what says where the command goes, and how many words follow it
_OURS = {"--detach": 0, "--address": 1, "--working-dir": 1}


def entrypoint(arguments: Sequence[str]) -> str:
    """The command line of a job.

    Args:
        arguments: what was typed after ``uniaudio2``.

    Returns:
        the same, quoted for a shell, without what says where it goes.
    """
    left, kept = list(arguments), ["uniaudio2"]
    while left:
        word = left.pop(0)
        if word == "--":
            kept += [word, *left]
            break
        name, sign, _ = word.partition("=")
        if name not in _OURS:
            kept.append(word)
        elif not sign:
            del left[: _OURS[name]]
    return shlex.join(kept)


def check_places(job: JobConfig, config: str | None, working_dir: str | None) -> None:
    """Refuse places that mean something else where the job runs.

    Args:
        job: what is to be run.
        config: the file of settings that was given.
        working_dir: the folder that is sent along, in which the job starts.

    Raises:
        UsageError: OUTPUT is relative; or something that is read is, and no folder is sent along.
    """
    if _is_relative(job.output):
        raise UsageError(
            f"OUTPUT {quoted(job.output)} is relative, and a job runs in a folder that Ray "
            "removes; give an absolute path that all nodes share, or a store such as s3://bucket/folder"
        )
    if working_dir is not None:
        if not os.path.isdir(working_dir):
            raise UsageError(f"--working-dir {quoted(working_dir)} is no folder of this machine")
        return
    read = {
        "INPUT": job.input,
        "TASK": "" if job.task in TASKS else job.task,
        "--model": "" if job.model in bundled_models() else job.model,
        "--config": config,
        "prompts": job.prompts,
        "examples.input": job.examples.input if job.examples else None,
        "tts.voices": job.tts.voices,
    }
    for what, place in read.items():
        if place and _is_relative(place):
            raise UsageError(
                f"{what} {quoted(place)} is relative, and a job starts in another folder; give an "
                "absolute path that all nodes share, a store such as s3://bucket/folder, or send "
                "the folder along with --working-dir ."
            )


def _is_relative(place: str) -> bool:
    return "://" not in place and not os.path.isabs(place)
