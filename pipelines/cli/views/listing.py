"""`uniaudio2 tasks`: the table of tasks, and one task in full, built in or of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable

from rich.table import Table

from pipelines.progress.terminal import Terminal, cell
from uniaudio2.tasks.answers import answer_columns
from uniaudio2.tasks.spec import TaskSpec

_LEGEND = (
    "TP instruction, {x} text of column x, <tag>..</tag> text in a tag, R(x) S(x) reasoning and "
    "reconstruction codes of column x, AP(x) audio prompt of column x"
)
_WIDTH = 100


def _limit(task: TaskSpec) -> str:
    if "generate" not in task.stages:
        return ""
    return f"{task.max_frames} {'ids' if task.output == 'text' else 'frames'}"


def show_tasks(
    tasks: Iterable[TaskSpec],
    trained: Collection[str] = (),
    model: str = "",
    terminal: Terminal | None = None,
) -> None:
    """Print a line or two for each task: what it reads, what it yields, its limit, what it does.

    Args:
        tasks: those to list.
        trained: names of those that a model was trained for.
        model: its name.
        terminal: where to; None takes stdout, at most 100 columns wide where that is a file.
    """
    terminal = terminal or Terminal(width=None if sys.stdout.isatty() else _WIDTH)
    table = Table(box=None, pad_edge=False)
    for name in ("", "task", "reads", "yields", "limit", "what it does"):
        table.add_column(name, overflow="fold", no_wrap=name in ("task", "limit"))
    for task in tasks:
        cells = (
            "*" if task.name in trained else "", task.name, ", ".join(task.columns),
            task.output, _limit(task), task.summary,
        )  # fmt: skip
        table.add_row(*map(cell, cells))
    terminal.print(table)
    if trained:
        terminal.print(cell(f"* {model} was trained for it; what it makes of others means nothing"))
    terminal.print(
        cell(
            "A task reads columns of the manifest and yields text, audio or codes, at most as many "
            "frames or ids as its limit says. `uniaudio2 tasks TASK` tells all of one: its other "
            "names, the instruction, and how its prompt is laid out."
        )
    )


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
        "layout": task.layout and f"{task.layout}  (the prompt's parts in their order: {_LEGEND})",
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
