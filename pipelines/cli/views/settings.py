"""``uniaudio2 settings``: every setting of a run with its default, its unit and its meaning."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel
from rich.table import Table

from pipelines.config.job import JobConfig
from pipelines.progress.terminal import Terminal, cell
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.tasks.spec import TaskSpec

_GROUPS = {"input_rules": "input"}  # as people write them
_STAGES = {
    "load": "load", "encode": "encode", "spans": "encode", "generate": "generate",
    "asr": "generate", "sampling": "generate", "decode": "decode", "flow": "decode",
    "score": "score",
}  # fmt: skip
_UNITS = (("_s", "seconds"), ("_bytes", "bytes"))
_ENTRY = re.compile(r"^ {4}(\w+): (.*)$")
_WIDTH = 100


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: dotted, as ``--set`` takes it.
        default: as YAML writes it.
        meaning: in words, with its unit.
    """

    name: str
    default: str
    meaning: str


def settings_of(task: TaskSpec | None = None) -> list[Setting]:
    """All settings, in the order of `JobConfig`.

    Args:
        task: leaves out what its stages do not use, and tells what it takes where a default is
            its own or the model's.
    """
    recommended = _recommended(task) if task else {}
    found = []
    for name, default, meaning in _walk(JobConfig, ""):
        stage = _STAGES.get(name.partition(".")[0])
        if task is not None and stage is not None and stage not in task.stages:
            continue
        value = default
        if name in recommended:
            meaning = f"{meaning}; here {recommended[name]}"
        found.append(Setting(name, value, meaning))
    return found


def meanings(kind: type[BaseModel]) -> dict[str, str]:
    """What the docstring of a class, and of those that it builds on, says of its attributes."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not (isinstance(one, type) and issubclass(one, BaseModel)) or not one.__doc__:
            continue
        _, _, entries = inspect.cleandoc(one.__doc__).partition("Attributes:\n")
        name = ""
        for line in entries.splitlines():
            if entry := _ENTRY.match(line):
                name = entry[1]
                found[name] = entry[2]
            elif name and line.startswith(" " * 8):
                found[name] += f" {line.strip()}"
    return {
        name: text.rstrip(".").replace("``", "").replace("`", "") for name, text in found.items()
    }


def _walk(kind: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    told = meanings(kind)
    for name, field in kind.model_fields.items():
        dotted = f"{prefix}{_GROUPS.get(name, name) if not prefix else name}"
        default = field.default
        if isinstance(default, BaseModel):
            yield from _walk(type(default), f"{dotted}.")
            continue
        unit = next((words for ending, words in _UNITS if name.endswith(ending)), "")
        meaning = told.get(name, "") + (
            f" ({unit})" if unit and unit not in told.get(name, "") else ""
        )
        yield dotted, "(needed)" if field.is_required() else _written(default), meaning


def _written(value: Any) -> str:
    """A value as YAML has it, in one line."""
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=1 << 20).splitlines()[0]


def _recommended(task: TaskSpec) -> dict[str, str]:
    """What the default model recommends for a task, by the names of settings."""
    model = load_config(model_folder(JobConfig.model_fields["model"].default))
    own = model.generation_by_task.get(task.name, model.generation)
    most = min(task.max_frames, own.max_frames or task.max_frames)
    guidance = 1.0 if task.output == "text" else own.guidance
    return {
        "sampling.greedy": _written(task.greedy),
        "sampling.temperature": _written(own.temperature),
        "sampling.top_k": _written(own.top_k),
        "sampling.guidance": _written(guidance),
        "sampling.max_frames": _written(most),
        "flow.steps": _written(model.flow.steps),
        "flow.guidance": _written(model.flow.guidance),
    }


def show_settings(task: TaskSpec | None = None, terminal: Terminal | None = None) -> None:
    """Print a table of them."""
    terminal = terminal or Terminal(width=None if Terminal().is_terminal else _WIDTH)
    table = Table(box=None)
    for name in ("setting", "default", "meaning"):
        table.add_column(name, overflow="fold")
    for one in settings_of(task):
        table.add_row(cell(one.name), cell(one.default), cell(one.meaning))
    terminal.print(table)
    terminal.print(
        cell("`--set NAME=VALUE` sets one; `uniaudio2 settings --yaml` is a file of all.")
    )


def as_yaml(task: TaskSpec | None = None) -> str:
    """A settings file to start from: every setting at its default, with its meaning above it."""
    lines = ["# uniaudio2 run TASK INPUT OUTPUT --config THIS_FILE"]
    group = ""
    for one in settings_of(task):
        name, _, rest = one.name.partition(".")
        if one.default == "(needed)":  # given on the command line, or here
            given = task.name if task and name == "task" else f"{name.upper()}"
            line = f"# {name}: {given}"
            lines.append(f"# {one.meaning}\n{line}")
            continue
        if not rest:
            group = ""
            lines.append(f"# {one.meaning}\n{name}: {one.default}")
            continue
        if name != group:
            group = name
            lines.append(f"{name}:")
        lines.append(f"  # {one.meaning}\n  {rest}: {one.default}")
    return "\n".join(lines)
