"""This build and another one, side by side: each in a process of its own, in turns.

The machine may be shared and its load may change, so the two take turns within seconds, and what is
compared is the processor time of one thread, not the time on the wall.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_HERE = Path(__file__).parents[1]
_CHILD = Path(__file__).with_name("beside_child.py")


class Build:
    """A process that runs a checkout's own code.

    Args:
        folder: the checkout.
        subject: what it shall do, one of those in `beside_child`.
        words: more that the subject reads.
    """

    def __init__(self, folder: Path, subject: str, *words: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this project's own code
            # -P: modules come from the checkout, not from the folder of the script
            [sys.executable, "-P", str(_CHILD), subject, *words],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def answer(self) -> dict[str, Any]:
        """Run one round; the first one warms up and does not count.

        Raises:
            RuntimeError: the process ended.
        """
        asked, said = self._process.stdin, self._process.stdout
        if asked is None or said is None:
            raise RuntimeError("the process has no pipes")
        print("go", file=asked, flush=True)
        if not (line := said.readline()):
            raise RuntimeError(f"the other process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Build:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.stdin and self._process.stdin.close()
        self._process.wait()


def compared(
    subject: str, against: Path, rounds: int, words: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Let both builds do a subject in turns.

    Args:
        subject: one of those in `beside_child`.
        against: the other checkout.
        rounds: how often.
        words: more that the subject reads.

    Returns:
        what this build and what the other one answered, round by round, warm-up left out.
    """
    with Build(_HERE, subject, *words) as ours, Build(against, subject, *words) as theirs:
        ours.answer()
        theirs.answer()
        pairs = [(ours.answer(), theirs.answer()) for _ in range(rounds)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def precisions(subject: str, rounds: int) -> float:
    """How many times the processor time of bfloat16 this build's float32 takes."""
    with Build(_HERE, subject, "bfloat16") as rounded, Build(_HERE, subject, "float32") as exact:
        rounded.answer()
        exact.answer()
        pairs = [(rounded.answer(), exact.answer()) for _ in range(rounds)]
    return ratio([one for one, _ in pairs], [other for _, other in pairs])


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in instructions of its own."""
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text().split() if facts.is_file() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def ratio(
    ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], key: str = "cpu_s"
) -> float:
    """How many times as much of a figure the other build needs: the median of the rounds."""
    return statistics.median(other[key] / one[key] for one, other in zip(ours, theirs, strict=True))


def load() -> str:
    """What else the machine does, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
