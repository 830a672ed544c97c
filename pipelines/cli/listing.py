"""`uniaudio2 tasks`: the table of tasks, and one task in full, built in or of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.table import Table

from actors.inputs.few_shot import answer_columns
from pipelines.progress.terminal import Terminal, cell
from uniaudio2.tasks.spec import TaskSpec

_LEGEND = (
    "TP instruction, {x} text of column x, <tag>..</tag> text in a tag, R(x) S(x) reasoning and "
    "reconstruction codes of column x, AP(x) audio prompt of column x"
)


_FILE_WIDTH = 220


def _limit(task: TaskSpec) -> str:
    if "generate" not in task.stages:
        return ""
    return f"{task.max_frames} {'ids' if task.output == 'text' else 'frames'}"


def show_tasks(tasks: Iterable[TaskSpec], terminal: Terminal | None = None) -> None:
    """Print a line a task: what it reads, its layout, what it yields, its limit."""
    terminal = terminal or Terminal(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    table = Table("task", "reads", "layout", "yields", "limit", "what it does", box=None)
    for task in tasks:
        names = ", ".join([task.name, *task.aliases])
        cells = (names, ", ".join(task.columns), task.layout, task.yields, _limit(task))
        table.add_row(*map(cell, (*cells, task.summary)))
    terminal.print(table, cell(_LEGEND))


def show_task(task: TaskSpec, terminal: Terminal | None = None) -> None:
    """Print everything about one task, a fact a line."""
    terminal = terminal or Terminal()
    reads = [
        f"{name} (or {task.fallback[name]})" if name in task.fallback else name
        for name in task.columns
    ]
    facts = {
        "task": ", ".join([task.name, *task.aliases]),
        "what": task.summary,
        "reads": ", ".join([*reads, *(f"{name} (if there)" for name in task.optional)]),
        "layout": task.layout and f"{task.layout}  ({_LEGEND})",
        "instruction": task.instruction,
        "yields": task.yields,
        "limit": _limit(task),
        "stages": " > ".join(task.stages),
    }
    if task.prompt:
        answers = "; ".join(" or ".join(names) for names in answer_columns(task))
        facts["decoding"] = "greedy" if task.greedy else "sampled"
        facts["examples"] = f"read the same columns, and the answer from {answers}"
    for name, value in facts.items():
        if value:
            terminal.show(cell(f"{name:<12} {value}"))
