"""Tasks of the user's own, in YAML::

name: emotion
instruction: Which emotion is in this voice?
prompt:
  - {kind: text, text: "One word: happy, sad, angry or calm."}
  - {kind: audio, column: audio}
output: text
max_frames: 20
"""

from __future__ import annotations

from pathlib import PurePosixPath

import yaml
from pydantic import ValidationError

from uniaudio2.frozen import explain, yaml_fault
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tasks.table import check_name_is_free

SUFFIXES = (".yaml", ".yml")


def is_task_file(task: str) -> bool:
    """Tell whether a task is given as a file and not by a name of the table."""
    return task.lower().endswith(SUFFIXES)


def parse_task(text: str, path: str) -> TaskSpec:
    """Read a task of the user's own.

    Args:
        text: YAML, the fields of `TaskSpec`; `prompt` and `output` are needed, `columns` and
            `stages` follow from them.
        path: where it came from, for messages; its stem is the name if the text gives none.

    Raises:
        ValueError: the YAML is none, or the task breaks a rule; one line.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise ValueError(f"task {path}: {yaml_fault(fault)}; correct it") from fault
    if not isinstance(values, dict):
        raise ValueError(f"task {path} holds a {type(values).__name__}; a mapping is needed")
    given = {"name": PurePosixPath(path).stem, **values}
    if "stages" in given:
        raise ValueError(f"task {path}: stages follow from prompt and output; leave them out")
    try:
        task = TaskSpec.model_validate(given)
        if not task.prompt:
            raise ValueError("there is no prompt; give a list of items")
        for name in (task.name, *task.aliases):
            check_name_is_free(name)
    except ValidationError as fault:
        raise ValueError(f"task {path}: {explain(fault)}") from fault
    except ValueError as fault:
        raise ValueError(f"task {path}: {fault}") from fault
    return task
