"""Read what is asked of every row: a task of the user's own, and instructions."""

from __future__ import annotations

import json

from actors.storage.fetch import fetch
from pipelines.errors import UsageError
from uniaudio2.errors import BadRow
from uniaudio2.frozen import nearest
from uniaudio2.scores.own import parse_scorers
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tasks.table import get_task
from uniaudio2.tasks.task_file import is_task_file, parse_task

_MAX_FILE_BYTES = 1 << 24


def _read(uri: str, what: str) -> str:
    try:
        return fetch(uri, _MAX_FILE_BYTES).decode()
    except BadRow as error:
        raise UsageError(f"{what} {error.message}") from error
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{what} {uri}: {fault}; a UTF-8 text file is needed") from fault


def find_task(task: str) -> TaskSpec:
    """A task by its name, or the one that a YAML file defines.

    Raises:
        UsageError: no such task or file, or the file breaks a rule.
    """
    try:
        if is_task_file(task):
            return parse_task(_read(task, "task file"), task)
        return get_task(task)
    except ValueError as fault:
        raise UsageError(str(fault)) from fault


def read_scorers(uri: str) -> list[str]:
    """Scorers of a YAML file, see `parse_scorers`.

    Raises:
        UsageError: there is no such file, or it breaks a rule.
    """
    try:
        return parse_scorers(_read(uri, "scorers"), uri)
    except ValueError as fault:
        raise UsageError(str(fault)) from fault


def read_prompts(uri: str, task: TaskSpec) -> tuple[str, ...]:
    """The instructions of a task from a JSON file, ``{task: [instruction, ..]}``.

    The task may stand there under its name or any published spelling of it.

    Raises:
        UsageError: the file is none, or does not name the task; it never borrows another's.
    """
    try:
        values = json.loads(_read(uri, "prompts"))
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"prompts {uri}: {fault}; JSON is needed") from fault
    if not isinstance(values, dict):
        raise UsageError(f"prompts {uri} holds a {type(values).__name__}; {{task: [..]}} is needed")
    name = next((name for name in (task.name, *task.aliases) if name in values), None)
    if name is None:
        raise UsageError(
            f"prompts {uri} has no instructions for task {task.name!r}; "
            f"{nearest(task.name, list(values))}; add some"
        )
    found = [values[name]] if isinstance(values[name], str) else values[name]
    if not isinstance(found, list) or not found:
        raise UsageError(f"prompts {uri}: {name!r} must be a list of at least one instruction")
    for text in found:
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"prompts {uri}: {name!r} holds {text!r}; an instruction must be text")
    return tuple(found)
