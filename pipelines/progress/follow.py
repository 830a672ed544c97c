"""Follow a run that another process drives, here or elsewhere: all that is read is its OUTPUT."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal

from actors.storage.file_systems import UnknownFileSystem
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.progress.live_view import LiveView, ProgressSnapshot, format_duration
from pipelines.progress.progress import Style
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.lease import EXPIRY_S, is_dead, read_holder
from pipelines.run_state.status import Status, read_status
from uniaudio2.terminal import say, say_json

LOOK_EVERY_S = 2.0
PATIENCE_S = 60.0
"""For a run that has not begun, a driver that is silent, a store that does not answer."""
_READING_SHARE = 0.05  # of the time; of many commit records, each look reads all
_PACES_KEPT = 60

End = Literal["finished", "stopped", "dead", "absent"]
_WORDS: dict[End, str] = {
    "finished": "the run has ended",
    "stopped": "no driver is at work there: the run stopped before its end; the same command, "
    "`uniaudio2 run …`, goes on where it was",
    "dead": "the driver is dead: the run stopped before its end; the same command, "
    "`uniaudio2 run …`, goes on where it was",
    "absent": "no run has begun there; look at what its command or its job says, such as "
    "`ray job logs JOB`",
}


@dataclass
class Follower:
    """What OUTPUT says of a run, look after look.

    Args:
        output: OUTPUT of the run, which may not be there yet.
        patience_s: after so long without a sign of life a run counts as ended.
        clock: seconds of a clock that never goes back.
    """

    output: str
    patience_s: float = PATIENCE_S
    clock: Callable[[], float] = time.monotonic
    status: Status | None = None
    driver: str = ""
    silent_s: float = 0.0
    _seen: bool = False
    _beat: str = ""
    _paces: deque[tuple[float, int, float]] = field(
        default_factory=lambda: deque(maxlen=_PACES_KEPT)
    )

    def __post_init__(self) -> None:
        try:
            self._storage = Storage(self.output)
        except UnknownFileSystem as fault:
            raise UsageError(str(fault)) from fault
        self._began = self._heard = self.clock()

    def look(self) -> End | None:
        """Read how far the run is.

        Returns:
            how it ended; None while it goes on.

        Raises:
            OSError | RunFailed: storage does not answer.
            UsageError: what lies there is no run's.
        """
        holder = read_holder(self._storage)  # before the rest: it goes last
        if CommitLog(self._storage).read_run() is not None:
            self.status = read_status(self.output)
            done_s = self.status.input_s + self.status.output_s
            self._paces.append((self.clock(), self.status.ok + self.status.errors, done_s))
        if holder is None:
            return self._without_driver()
        self._seen = True
        if repr(holder.get("beat")) != self._beat:  # by this clock alone
            self._beat, self._heard = repr(holder.get("beat")), self.clock()
        self.silent_s = self.clock() - self._heard
        self.driver = f"process {holder.get('pid')} on {holder.get('host')}"
        return "dead" if is_dead(holder) or self.silent_s > self.patience_s else None

    def _without_driver(self) -> End | None:
        self.driver, self.silent_s = "", 0.0
        if self.status and self.status.state == "finished":
            return "finished"
        if self._seen:
            return "stopped"
        if self.clock() - self._began > self.patience_s:
            return "stopped" if self.status else "absent"
        return None

    def driver_words(self) -> str:
        """Who drives the run, and since when nothing was heard of it."""
        if not self.driver:
            return "no driver is at work there yet"
        if self.silent_s > EXPIRY_S:
            return f"{self.driver} seems dead: silent for {format_duration(self.silent_s)}"
        return f"driven by {self.driver}"

    def snapshot(self) -> ProgressSnapshot:
        """What the last look saw; speed is that of the looks before it."""
        status, paces = self.status, self._paces or [(self._began, 0, 0.0)]
        (begin_s, before, before_s), (end_s, done, done_s) = paces[0], paces[-1]
        took_s = max(end_s - begin_s, 1e-3)
        rows_per_s = (done - before) / took_s
        left = status.left if status else 0
        return ProgressSnapshot(
            rows=status.rows if status else 0,
            done=done,
            errors=status.errors if status else 0,
            elapsed_s=self.clock() - self._began,
            working_s=took_s,
            rows_per_s=max(rows_per_s, 0.0),
            audio_per_s=max(done_s - before_s, 0.0) / took_s,
            audio_per_row_s=done_s / max(done, 1),
            left_s=left / rows_per_s if rows_per_s > 0 else None,
            stages=(),
            failed={},
            driver=self.driver_words(),
        )


def follow(
    output: str,
    style: Style,
    look_every_s: float = LOOK_EVERY_S,
    patience_s: float = PATIENCE_S,
    is_left: Callable[[], bool] | None = None,
) -> int:
    """Show how far a run is until it ends; the run itself is not touched.

    Args:
        output: OUTPUT of the run, which may be about to begin.
        style: ``live`` draws, ``lines`` and ``json`` print what changes.
        look_every_s: pause between two looks; longer where a look takes long.
        patience_s: see `Follower`.
        is_left: whether the user has seen enough, where a library may have swallowed the interrupt.

    Returns:
        the exit code of the run's end: 0, 3 where rows are in the errors table, 1 where it stopped.

    Raises:
        RunFailed: storage did not answer for `patience_s`.
        UsageError: what lies there is no run's.
    """
    follower = Follower(output, patience_s)
    view = LiveView(follower.snapshot) if style == "live" else None
    teller = _Teller(follower, style, view)
    try:
        while True:
            began = time.monotonic()
            end = teller.look()
            if end is not None:
                break
            if is_left and is_left():
                raise KeyboardInterrupt
            time.sleep(max(look_every_s, (time.monotonic() - began) / _READING_SHARE))
    finally:
        if view:
            view.stop()
    errors = follower.status.errors if follower.status else 0
    code = 1 if end != "finished" else 3 if errors else 0
    if style == "json":
        facts = asdict(follower.status) if follower.status else {}
        say_json({"event": "end", "end": end, "exit_code": code, **facts})
    else:
        say(f"{output}: {_WORDS[end]}", error=code == 1)
    return code


@dataclass
class _Teller:
    """Says what changed between two looks."""

    follower: Follower
    style: Style
    view: LiveView | None
    _line: tuple[int, int] = (-1, -1)
    _words: str = ""
    _away_since: float | None = None

    def look(self) -> End | None:
        try:
            end = self.follower.look()
        except (OSError, RunFailed) as fault:
            self._away(fault)
            return None
        self._away_since = None
        self._tell_driver(end)
        self._tell_progress()
        return end

    def _away(self, fault: Exception) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._say("warning", f"storage does not answer: {fault}; asking again")
        elif now - self._away_since > self.follower.patience_s:
            raise RunFailed(
                f"storage did not answer for {format_duration(now - self._away_since)}: {fault}; "
                "the run, if there is one, is not touched"
            ) from fault

    def _tell_driver(self, end: End | None) -> None:
        words = self.follower.driver_words().partition(": silent")[0]
        if words != self._words and end is None:
            self._words = words
            self._say("driver", self.follower.driver_words())

    def _tell_progress(self) -> None:
        status = self.follower.status
        if status is None or (status.ok, status.errors) == self._line or self.view:
            return
        self._line = (status.ok, status.errors)
        at = self.follower.snapshot()
        self._say("progress", at.line(), rows=at.rows, done=at.done, errors=at.errors,
                  left_s=None if at.left_s is None else round(at.left_s, 1))  # fmt: skip

    def _say(self, event: str, text: str, **facts: object) -> None:
        if self.style == "json":
            say_json({"event": event, "message": text, **facts})
        elif self.view:
            self.view.say(text)
        else:
            say(text)
