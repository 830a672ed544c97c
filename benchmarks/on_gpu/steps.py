"""Steps that a file remembers: what is done at this commit on this device is not done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL = 2000  # characters of what a step said that are kept


@dataclass(frozen=True)
class Step:
    """A command of its own process.

    Attributes:
        name: by which it is remembered.
        words: the command.
        limit_s: it is ended after so many seconds, and counts as failed.
    """

    name: str
    words: Sequence[str]
    limit_s: float


class State:
    """What is done, in a file of JSON.

    Args:
        path: the file; its folder is made.
        build: commit and device; what another one did is forgotten.
    """

    def __init__(self, path: Path, build: str) -> None:
        self.path, self.build = path, build
        self.steps: dict[str, dict[str, object]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            known = json.loads(path.read_text())
            if known["build"] == build:
                self.steps = known["steps"]

    def is_done(self, name: str) -> bool:
        """Whether a step ended well."""
        return self.steps.get(name, {}).get("code") == 0

    def note(self, name: str, code: int, seconds: float, said: str) -> None:
        """Write down how a step ended."""
        self.steps[name] = {"code": code, "seconds": round(seconds, 1), "said": said[-_TAIL:]}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"build": self.build, "steps": self.steps}, indent=1))
        new.replace(self.path)  # a kill leaves the one or the other


def run_steps(
    steps: Sequence[Step],
    state: State,
    folder: Path,
    budget_s: float,
    environment: Mapping[str, str],
) -> int:
    """Run what is not done, one after the other; one that fails does not keep the next from it.

    What a step says goes to ``NAME.txt`` beside the state, and its end to the terminal.

    Args:
        steps: in their order.
        state: knows what is done, and is told.
        folder: where the commands run.
        budget_s: of all of them; what finds none left is not begun.
        environment: of the commands, besides this process's own.

    Returns:
        how many are not done: they failed, or no time was left for them.
    """
    begun = time.monotonic()
    for step in steps:
        left_s = budget_s - (time.monotonic() - begun)
        if state.is_done(step.name):
            print(f"{step.name}: done before in {state.steps[step.name]['seconds']} s")
        elif left_s < 1:
            print(f"{step.name}: no time is left; the same command again goes on here")
        else:
            _run(step, state, folder, min(step.limit_s, left_s), environment)
    return sum(not state.is_done(step.name) for step in steps)


def _run(
    step: Step, state: State, folder: Path, limit_s: float, environment: Mapping[str, str]
) -> None:
    print(f"{step.name}: at most {limit_s:.0f} s ...", flush=True)
    path = state.path.with_name(f"{step.name}.txt")
    begun = time.monotonic()
    with path.open("w") as said:
        process = subprocess.Popen(  # noqa: S603 - this project's own commands
            step.words, cwd=folder, env={**os.environ, **environment}, stdout=said, stderr=said,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds, text = time.monotonic() - begun, path.read_text()
    state.note(step.name, code, seconds, text)
    ended = "done" if code == 0 else f"failed with {code}"
    print(f"{text[-_TAIL:].rstrip()}\n{step.name}: {ended} in {seconds:.0f} s", flush=True)
