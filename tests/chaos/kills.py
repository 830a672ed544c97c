"""Ways to die, and one job run under them until it is done."""

from __future__ import annotations

import contextlib
import math
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.jobs import Job, Result, Stand, Verdict, compare, count_work, read_result
from tests.chaos.processes import Cluster, Driver

Kind = Literal["driver", "actor", "worker", "node"]
KINDS: tuple[Kind, ...] = ("driver", "actor", "worker", "node")
_TITLES = {
    "actor": ("ray::MapWorker",),
    "worker": ("ray::MapBatches", "ray::IDLE", "ray::Streaming"),
}
_SLOWEST_JOB_S = 2400.0
_EXTRA_STARTS = 12
_POLL_S = 0.03


@dataclass
class Account:
    """What one job went through, and how it ended.

    Attributes:
        kills: kills that hit a live run.
        begins: monotonic seconds of its starts.
        moments: kills by the moment at which they came.
        stops: ends of a driver that were not a kill and not success, by what it said.
    """

    kind: Kind
    job: Job
    kills: int = 0
    begins: list[float] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)
    faults: int = 0
    lost_answers_of_puts: int = 0
    seconds: float = 0.0
    verdict: Verdict | None = None


class Ordeal:
    """One job, run by the same command until it is done, and hit meanwhile.

    Args:
        stand: where.
        job: what.
        kind: how it is hit.
        kills: how often at most.
        dice: chooses moments and victims.
        until: monotonic seconds after which it is left in peace.
    """

    def __init__(
        self, stand: Stand, job: Job, kind: Kind, kills: int, dice: random.Random,
        until: float = math.inf,
    ) -> None:  # fmt: skip
        self.stand, self.job, self.kind, self.wanted = stand, job, kind, kills
        self.dice, self.until = dice, until
        self.output = stand.new_output(kind)
        self.account = Account(kind, job)
        self.cluster: Cluster | None = None
        self._drivers: list[Driver] = []
        self._records: dict[str, str] = {}

    def endure(self, clean: Result) -> Account:
        """Go through with it, and judge."""
        begun, before = time.monotonic(), self.stand.proxy.injected.copy()
        try:
            with self._cluster_if_wanted(), self._bad_network():
                self._until_done(begun)
        except (TimeoutError, RuntimeError) as fault:  # the judge tells what is missing
            self.account.stops[f"given up: {fault}"] += 1
        finally:
            for driver in self._drivers:
                driver.end()
        self._check_records()
        verdict = compare(clean, read_result(self.stand, self.output))
        count_work(verdict, self.stand.written(self.output), self.account.begins)
        verdict.doubled += self.account.changed
        faults = self.stand.proxy.injected - before
        self.account.faults = faults.total()
        self.account.lost_answers_of_puts = faults["lost_answer PUT"]
        self.account.verdict = verdict
        self.account.seconds = time.monotonic() - begun
        return self.account

    @contextlib.contextmanager
    def _cluster_if_wanted(self) -> Iterator[None]:
        if self.kind != "node":
            yield
            return
        self.cluster = Cluster(self.stand)
        try:
            yield
        finally:
            self.cluster.end()

    @contextlib.contextmanager
    def _bad_network(self) -> Iterator[None]:
        self.stand.proxy.rate = self.stand.rate
        try:
            yield
        finally:
            self.stand.proxy.rate = 0.0

    def _until_done(self, begun: float) -> None:
        while len(self.account.begins) <= self.wanted + _EXTRA_STARTS:
            if time.monotonic() - begun > _SLOWEST_JOB_S:
                raise TimeoutError(f"{self.kind}: a job did not end within {_SLOWEST_JOB_S:g} s")
            address = self.cluster.address if self.cluster else None
            self.account.begins.append(time.monotonic())
            driver = Driver(self.stand, self.job, self.output, address)
            self._drivers.append(driver)
            self._one_life(driver)
            code = driver.process.wait()
            if code in (0, 3):
                return
            if code != -signal.SIGKILL:
                self.account.stops[f"exit {code}: {driver.words()}"] += 1
        raise RuntimeError(f"{self.kind}: no end after {len(self.account.begins)} starts")

    def _one_life(self, driver: Driver) -> None:
        before = self._units()
        while driver.running:
            if self.account.kills >= self.wanted or time.monotonic() > self.until:
                time.sleep(0.1)
                continue
            self._await_moment(driver)
            units = self._units()
            if driver.running and self._strike(driver):
                self.account.kills += 1
                self.account.moments[self._moment(before, units)] += 1
                self._check_records()

    def _commits(self) -> int:
        return self.stand.commits_made(self.output)

    def _units(self) -> int:
        return self.stand.units_made(self.output)

    def _moment(self, before: int, units: int) -> str:
        if units == self.job.units:
            return "after the last commit"
        return "between commits" if units > before else "before the first commit of that start"

    def _await_moment(self, driver: Driver) -> None:
        """Wait until it is time to strike: soon after a commit, or for a driver also elsewhere."""
        commits, patience_s = self._commits() + 1, self.dice.uniform(0.0, 3.0)
        if self.kind == "driver" and self.dice.random() < 0.25:
            commits, patience_s = 0, self.dice.uniform(0.0, 9.0)
        elif self.kind == "driver" and self.dice.random() < 0.1:
            commits, patience_s = 0, self.dice.uniform(0.0, 0.4)
            while driver.running and self._units() < self.job.units:
                time.sleep(_POLL_S)
        while driver.running and self._commits() < commits:
            time.sleep(_POLL_S)
        deadline = time.monotonic() + patience_s
        while driver.running and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _strike(self, driver: Driver) -> bool:
        """Kill; returns whether the run was alive and there was something to kill."""
        if self.kind == "driver":
            return driver.kill()
        if self.cluster is not None:
            self.cluster.lose(self.dice.randrange(100))
            return driver.running
        titles = _TITLES[self.kind]
        victims = [p for p in driver.processes() if p.words.startswith(titles)]
        if not victims:
            time.sleep(_POLL_S)
            return False
        self.dice.choice(victims).kill()
        return driver.running

    def _check_records(self) -> None:
        """A commit record that was seen once must never change, nor go unless another one says
        that it replaces it."""
        now = self.stand.commit_marks(self.output)
        for path, mark in self._records.items():
            if now.get(path) != mark and (
                path in now or not self.stand.replaced(self.output, path)
            ):
                self.account.changed.append(f"{path} changed")
        self._records = now


def run_clean(stand: Stand, job: Job) -> Result:
    """The job with nothing in its way: without Ray, so that its result owes nothing to Ray either.

    Raises:
        RuntimeError: it did not end with exit code 0 and all rows.
    """
    stand.store_input(job)
    output = stand.new_output("clean")
    driver = Driver(stand, job, output, None, "--executor", "inline")
    try:
        while driver.running:
            time.sleep(0.1)
    finally:
        driver.end()
    code = driver.process.returncode
    if code:
        raise RuntimeError(f"the clean run ended with {code}: {driver.words()}")
    result = read_result(stand, output)
    if len(result.rows) != job.rows or result.orphans or result.missing:
        raise RuntimeError(f"the clean run is not clean: {len(result.rows)} rows of {job.rows}")
    return result
