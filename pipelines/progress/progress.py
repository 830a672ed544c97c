"""Report the progress of a run: a live view, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from actors.batch.stage_times import steady_now_s
from pipelines.executor.stage_monitor import BOARD, stage_states
from pipelines.progress.eta import EtaEstimator
from pipelines.progress.live_view import LiveView, ProgressSnapshot
from pipelines.progress.tally import Tally
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.counts import Counts
from uniaudio2.shown import plain_words
from uniaudio2.terminal import say, say_json

Style = Literal["live", "lines", "json", "quiet"]
_LINE_EVERY_S = 2.0


@dataclass
class Progress:
    """Tell how far a run is; lines come at most every two seconds.

    Attributes:
        counts: totals, those of an earlier run included.
        style: ``live`` for a terminal, ``lines`` for a log that people read, ``json`` for
            machines, ``quiet`` for none of these.
        tally: counters that never fall, for metrics.
    """

    counts: Counts
    style: Style = "lines"
    tally: Tally = field(default_factory=Tally)
    _started: float = field(default_factory=time.monotonic)
    _last: float = 0.0
    _before: int = 0
    _before_s: float = 0.0
    _failed: Counter[str] = field(default_factory=Counter)
    _pace: EtaEstimator = field(default_factory=lambda: EtaEstimator(0))
    _view: LiveView | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Take the live view away, whatever ended the run."""
        if self._view:
            self._view.stop()
            self._view = None

    def begin(self, note: str) -> None:
        """Say what is about to run; what is counted so far was done by an earlier run."""
        self._started = time.monotonic()
        self._before = self.counts.done
        self.tally.begin(self.counts)
        self._before_s = self.counts.input_s + self.counts.output_s
        self._pace = EtaEstimator(self.counts.rows - self.counts.done)
        self.say("start", note)
        if self.style == "live":
            self._view = LiveView(self.snapshot)

    def say(self, event: str, text: str, **facts: Any) -> None:
        """Print one message."""
        text = plain_words(text)
        if self.style == "json":
            say_json({"event": event, "message": text, **facts})
        elif self._view:
            self._view.say(text)
        elif self.style in ("lines", "live"):
            say(text)

    def snapshot(self) -> ProgressSnapshot:
        """The state of the run now."""
        counts, elapsed = self.counts, max(time.monotonic() - self._started, 1e-3)
        began = self._pace.began
        working = max(steady_now_s() - began, 1e-3) if began else elapsed
        stages = stage_states()
        audio_s = counts.input_s + counts.output_s - self._before_s
        return ProgressSnapshot(
            rows=counts.rows,
            done=counts.done,
            errors=counts.errors,
            elapsed_s=elapsed,
            working_s=working,
            rows_per_s=(counts.done - self._before) / working,
            audio_per_s=audio_s / working,
            audio_per_row_s=audio_s / max(counts.done - self._before, 1),
            left_s=self._pace.left_s(steady_now_s(), {s.name: s.ready for s in stages}),
            stages=stages,
            doing=BOARD.being_done(),
            failed=dict(self._failed),
        )

    def committed(
        self, commit: Commit, before: Commit | None = None, after: Commit | None = None
    ) -> None:
        """Count a unit and, now and then, print a line.

        Args:
            commit: what came of it.
            before: the state of the unit whose rows it did again, before that; None where it is a
                unit of its own.
            after: and after it.
        """
        if before is not None:
            self.counts.take_out(before)
            self.counts.redo -= commit.known_rows
        self.counts.add(after or commit)
        self._pace.add(commit)
        self.tally.add(commit)
        self._failed.update({call.stage: call.failed for call in commit.stages})
        now = time.monotonic()
        last = self.counts.is_complete
        if self.style not in ("lines", "json") or (now - self._last < _LINE_EVERY_S and not last):
            return
        self._last = now
        at = self.snapshot()
        self.say(
            "progress",
            at.line(),
            rows=at.rows,
            done=at.done,
            errors=at.errors,
            elapsed_s=round(at.elapsed_s, 3),
            left_s=None if at.left_s is None else round(at.left_s, 1),
            audio_per_s=round(at.audio_per_s, 3),
            stages=[{**asdict(s), "failed": self._failed[s.name]} for s in at.stages],
        )
