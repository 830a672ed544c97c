"""What users may rely on, by name, is a list that is changed on purpose: `public_names.txt`.

After a change that is meant: ``python -m tests.test_public`` writes the list anew, and
docs/api-stability.md and CHANGELOG.md say what a user should know of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer.main
from pydantic import BaseModel

import pipelines
import uniaudio2
from pipelines.cli.commands import app
from pipelines.config.job import JobConfig

LIST = Path(__file__).with_name("public_names.txt")


def is_group(kind: Any) -> bool:
    """Whether a type is a group of settings."""
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def settings(kind: type[BaseModel], begin: str = "") -> Iterator[str]:
    """Names of settings with their defaults, dotted."""
    for name, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True)
        groups = [one for one in (field.annotation, *get_args(field.annotation)) if is_group(one)]
        if groups:
            yield from settings(groups[0], f"{begin}{name}.")
        else:
            shown = "" if field.is_required() else f" = {default!r}"
            yield f"setting {begin}{name}{shown}"


def commands() -> Iterator[str]:
    """Commands with their arguments and options."""
    group: Any = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        words = [*(opt for one in command.params for opt in (*one.opts, *one.secondary_opts))]
        yield f"command {name}: {' '.join(words)}"


def callables() -> Iterator[str]:
    """Names that packages export, and the arguments of what is promised with them."""
    for package in (pipelines, uniaudio2):
        for name in package.__all__:
            yield f"{package.__name__}.{name}"
    model = uniaudio2.UniAudio2
    for promised in (pipelines.run_job, model.load, model.encode, model.generate, model.decode):
        yield f"{promised.__qualname__}({', '.join(inspect.signature(promised).parameters)})"


def listed() -> str:
    """All of it, a line each."""
    return "\n".join([*callables(), *commands(), *settings(JobConfig)]) + "\n"


def test_public_names_change_on_purpose() -> None:
    assert listed().splitlines() == LIST.read_text().splitlines(), (
        "if this is meant: python -m tests.test_public, and a line in CHANGELOG.md"
    )


if __name__ == "__main__":
    LIST.write_text(listed())
