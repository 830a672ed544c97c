"""What a run says while it works: plain lines, JSON lines, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.ledger import Commit

Style = Literal["lines", "json", "quiet"]
_LINE_EVERY_S = 2.0


@dataclass
class Counts:
    """Running totals of a run."""

    rows: int = 0
    units: int = 0
    units_done: int = 0
    ok: int = 0
    errors: int = 0
    input_s: float = 0.0
    output_s: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, commit: Commit) -> None:
        """Count a committed unit."""
        self.units_done += 1
        self.ok += commit.ok
        self.errors += commit.errors
        self.input_s += commit.input_s
        self.output_s += commit.output_s
        self.kinds.update(commit.kinds)


@dataclass
class Progress:
    """Tell how far a run is, at most every two seconds.

    Attributes:
        counts: totals, those of an earlier run included.
        style: ``lines`` for people, ``json`` for machines, ``quiet`` for neither.
    """

    counts: Counts
    style: Style = "lines"
    _started: float = field(default_factory=time.monotonic)
    _last: float = 0.0
    _before: int = 0
    _before_s: float = 0.0

    def begin(self, note: str) -> None:
        """Say what is about to run; what is counted so far was done by an earlier run."""
        self._started = time.monotonic()
        self._before = self.counts.ok + self.counts.errors
        self._before_s = self.counts.input_s + self.counts.output_s
        self.say("start", note)

    def say(self, event: str, text: str, **facts: Any) -> None:
        """Print one message."""
        if self.style == "json":
            sys.stdout.write(json.dumps({"event": event, "message": text, **facts}) + "\n")
        elif self.style == "lines":
            sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def committed(self, commit: Commit) -> None:
        """Count a unit and, now and then, print a line."""
        self.counts.add(commit)
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S and self.counts.units_done < self.counts.units:
            return
        self._last = now
        counts, elapsed = self.counts, max(now - self._started, 1e-3)
        done = counts.ok + counts.errors
        rate = (done - self._before) / elapsed
        audio_rate = (counts.input_s + counts.output_s - self._before_s) / elapsed
        left = f"{(counts.rows - done) / rate:.0f} s left" if rate > 0 else "time left unknown"
        self.say(
            "progress",
            f"{done}/{counts.rows} rows  {counts.errors} errors  {rate:.1f} rows/s  "
            f"{audio_rate:.1f} s of audio/s  {left}",
            rows=counts.rows,
            done=done,
            errors=counts.errors,
            elapsed_s=round(elapsed, 3),
        )
