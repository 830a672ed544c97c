"""What a run says of itself: ``run.json``, the machines, ``report.html`` and lines for people."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from actors.batch.stage_times import steady_now_s
from pipelines.config.job import JobConfig
from pipelines.errors import RunFailed
from pipelines.executor.executor import Executor
from pipelines.executor.nodes.compare import Needs, Probed
from pipelines.planning.plan import Plan
from pipelines.planning.pool_sizing import Allocation
from pipelines.progress.progress import Progress
from pipelines.report import Report, standing_report, write_report
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.counts import Counts
from pipelines.run_state.run_record import State, check_same_job, identity, run_record, setup_record
from uniaudio2.config import ModelConfig

_BEGINS_KEPT = 1000
_PROBED_SOURCES = 64


class Account:
    """Keeps what a run is told of, and puts it where people and later runs look.

    Args:
        job: what is run.
        model: it is run with.
        commit_log: of OUTPUT.
        progress: says lines.

    Attributes:
        state: of the run, as it is recorded.
        was_finished: an earlier run had done all that was asked of it.
    """

    def __init__(
        self, job: JobConfig, model: ModelConfig, commit_log: CommitLog, progress: Progress
    ) -> None:
        self.job, self.model = job, model
        self.commit_log, self.progress = commit_log, progress
        self.state: State = "running"
        self.was_finished = False
        self.started = time.time()
        self._begins: list[float] = []
        self._setup: dict[str, Any] = {}
        self._nodes: list[dict[str, Any]] = []
        self._told: set[str] = set()
        self._is_probed = False

    def go_on(self, recorded: dict[str, Any]) -> None:
        """Check that the run that is recorded is this job, and keep what it says of the past."""
        check_same_job(recorded, identity(self.job, self.model), self.job.output)
        self.started = recorded.get("started", self.started)
        self._setup = recorded.get("setup", {})
        self._nodes = recorded.get("nodes", [])
        self._begins = recorded.get("begins", [])
        self.was_finished = recorded.get("state") == "finished"

    def begin(self, allocation: Allocation, resources: Any) -> None:
        """The stages are about to start, with so much."""
        self._setup = setup_record(allocation, resources)
        self._begins.append(steady_now_s())

    def record(
        self, plan: Plan, counts: Counts, other_rows: int, elapsed_s: float | None = None
    ) -> None:
        """Write ``run.json``.

        Args:
            plan: as far as it is made.
            counts: of the whole job.
            other_rows: that OUTPUT has and the plan does not.
            elapsed_s: how long this run took, once it is over.
        """
        facts = run_record(self.job, plan, self.model, counts, other_rows)
        ended = time.time() if self.state == "finished" else None
        times = {"started": self.started, "ended": ended, "last_run_s": elapsed_s}
        facts |= {"setup": self._setup, "nodes": self._nodes}
        facts |= {"begins": self._begins[-_BEGINS_KEPT:]}
        self.commit_log.write_run({"state": self.state, **facts, **times})

    def report(self, executor: Executor, is_as_it_was: bool, has_begun: bool) -> Report | None:
        """Make ``report.html``; a run whose rows are all committed does not fail for its report.

        Args:
            executor: its workers have what draws loaded already.
            is_as_it_was: nothing was computed or removed, so that an earlier report holds.
            has_begun: the executor runs.
        """
        output = self.job.output
        try:
            if self.was_finished and is_as_it_was and (standing := standing_report(output)):
                return standing
            if has_begun and executor.is_here:
                with suppress(RunFailed), executor.session(self.job.stage_timeout_s):
                    return executor.submit(write_report, output).result()
            return write_report(output)  # also where the worker died
        except Exception as fault:  # whatever it is, the results are there
            self.progress.say(
                "warning",
                f"no report: {type(fault).__name__}: {fault}; try `uniaudio2 report {output}`",
            )
            return None

    def warn_unfenced(self) -> None:
        """Say that two runs at once would not notice one another."""
        is_local = self.commit_log.storage.is_local
        self.progress.say(
            "warning",
            f"{self.job.output}: this storage does no conditional writes, so it stops no second "
            f"run{' on another machine' * is_local} that starts at the same moment; see that there "
            "is one at a time",
        )

    def say_once(self, event: str, text: str) -> None:
        """Say what holds for every portion of a plan with the first that it holds for."""
        if text not in self._told:
            self._told.add(text)
            self.progress.say(event, text)

    def introduce(self, plan: Plan) -> None:
        """Say what is odd about INPUT and the model."""
        for note in plan.notes:
            self.say_once("input", note)
        if not self.model.trained:
            self.say_once(
                "warning",
                f"model {self.model.name!r} is untrained: its tokens, text and sound mean nothing",
            )

    def probe(self, executor: Executor, plan: Plan) -> None:
        """Have all machines that will work looked at, and say what they are."""
        inputs = (*plan.sources[:_PROBED_SOURCES], *plan.first_files)
        probed = executor.probe(Needs(self.job.output, inputs, self.job.model))
        if not self._is_probed:  # what is recorded may be another run's
            self._is_probed, self._nodes = True, []
        if probed.line:
            self.say_once("nodes", probed.line)
        self.take_in(probed)

    def take_in(self, probed: Probed) -> None:
        """Record machines, and say what is odd about them."""
        names = {node["id"] for node in probed.nodes}
        self._nodes = [node for node in self._nodes if node["id"] not in names] + [*probed.nodes]
        for warning in probed.warnings:
            self.say_once("warning", warning)
