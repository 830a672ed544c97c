"""`retry_job`: run the rows of the errors table again, and let what comes of them hold instead.

A unit whose failed rows were tried again gets a new commit record: its parts so far, the new ones,
and one errors part with what still fails. That record alone makes both visible, so that every row
is in data or in errors, once, whenever a retry is killed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc

from actors.batch.names import UNVERIFIED
from actors.batch.unit import UnitSpec
from pipelines.config.job import JobConfig
from pipelines.config.make_job import make_job
from pipelines.errors import RunFailed, UsageError
from pipelines.executor.executor import Executor, executor_for
from pipelines.executor.process.executor_choice import choosing
from pipelines.executor.stages import make_stages
from pipelines.jobs.commits.merging import errors_of
from pipelines.jobs.driver import Run, StageFactory
from pipelines.jobs.failed_rows import FailedRows
from pipelines.jobs.result import RunResult
from pipelines.jobs.signals import answered, reading_input
from pipelines.metrics.server import serving
from pipelines.planning.plan import Plan, make_plan
from pipelines.planning.preflight import checked_model
from pipelines.progress.progress import Style
from pipelines.run_state.commit_log import RESULTS, SWEPT, open_output
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.counts import Counts
from pipelines.run_state.run_facts import ids_before, require, rows_of
from uniaudio2.config import ModelConfig
from uniaudio2.scores.own import is_scorer_file
from uniaudio2.shown import counted, shown

# what lets a run reach further than it could by itself; each user says so anew
_WIDENING = ("input_rules", "address")


class Retry(Run):
    """A run of failed rows alone, into the OUTPUT that has them.

    Args:
        only: try rows that failed with this kind; None tries all.
    """

    adds_attempts = True
    hopeless_units = sys.maxsize  # each unit may well hold the row that kills its worker again

    def __init__(
        self,
        job: JobConfig,
        plan: Plan,
        model: ModelConfig,
        style: Style,
        only: str | None,
        executor: Executor,
    ) -> None:
        super().__init__(job, plan, model, style, fresh=False, executor=executor)
        self.only = only
        self.tried = 0
        self.mended = 0
        self._facts: dict[str, Any] = {}
        self._names: dict[int, frozenset[str]] = {}

    def _headline(self, pending: list[UnitSpec]) -> str:
        tried, units = counted(self.tried, "failed row"), counted(len(pending), "unit")
        return f"{self.job.spec.name}: {tried} again, in {units}"

    def _resume(self) -> list[UnitSpec]:
        """The rows that failed, as units of their own."""
        _, recorded = open_output(self.job.output)
        require(recorded, self.job.output, "state", "input.rows", "input.units")
        self.account.go_on(recorded)
        self._facts, self.account.state = recorded, recorded["state"]
        self.other_rows = rows_of(recorded) - recorded["input"]["rows"]
        failed = FailedRows(self.plan, self.job.audio.channel == "each")
        missing, kinds = 0, Counter[str]()
        for commit in self.commit_log.each_commit():
            kinds.update(commit.kinds)
            is_wanted = commit.errors and (not self.only or self.only in commit.kinds)
            missing += failed.add(commit, self._tried(commit) if is_wanted else [])
        self._check_kind(kinds)
        units = failed.units()
        free = max((unit.unit for unit in units), default=0) + 1
        pending = self._begin(units, {n: redo.unit for n, redo in failed.redo.items()}, free)
        self._check_missing(missing, bool(pending))
        self.committer.keys_of = failed.keys_of
        self.committer.redo, self._names = failed.redo, failed.names
        self.tried = sum(map(len, failed.names.values()))
        self.progress.counts = Counts(rows=self.tried, units=len(pending))
        return pending

    def _tried(self, commit: Commit) -> list[str]:
        """Ids of a unit's rows that are tried again."""
        errors = errors_of(self.commit_log.storage, commit.error_parts)
        if self.only is not None:
            errors = errors.filter(pc.equal(errors["kind"], self.only))
        errors = errors.filter(pc.not_equal(errors["kind"], UNVERIFIED))
        names: list[str] = errors["id"].to_pylist()
        return names

    def _check_kind(self, kinds: Counter[str]) -> None:
        if self.only and kinds and self.only not in kinds:
            there = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
            raise UsageError(f"no row failed with kind {self.only!r}; there are {there}")
        asked = {self.only} if self.only else kinds.keys()
        if kinds and asked == {UNVERIFIED}:
            raise UsageError(
                f"the {kinds[UNVERIFIED]} failed rows had all their attempts, and the same ones "
                "would follow; run them with more verify.attempts into another OUTPUT"
            )

    def _check_missing(self, missing: int, is_any: bool) -> None:
        """Say that rows are not tried, or refuse where none is left."""
        if not missing:
            return
        found = (
            f"{missing} failed rows are no longer in the input as they were; "
            "`uniaudio2 run` with the same arguments does again what changed"
        )
        if not is_any:
            raise UsageError(found)
        self.progress.say("changed", found)

    def _with_kept(self, units: list[UnitSpec]) -> list[UnitSpec]:
        return units  # kept tokens are those of whole units

    def _commit(self, commit: Commit) -> None:
        """Let the unit's new state hold in the place of the one that is committed."""
        self._check_rows(commit)
        asked = commit.known_rows if self.attempts else len(self._names[commit.unit])
        back = commit.ok + commit.errors - commit.added_rows
        if back != asked:
            raise RunFailed(
                f"{asked} rows were tried, {back} came back; the same command tries them again"
            )
        with self.progress.tally.committing():
            self.committer.commit(commit)
        self.tried += commit.added_rows
        self.mended += commit.ok
        self.progress.committed(commit)

    def _sweep(self) -> None:
        """Remove what no commit names, but tokens kept for rows that are still to be done."""
        self.commit_log.sweep(SWEPT if self.account.state == "finished" else RESULTS)

    def _counts(self) -> Counts:
        counts = Counts(rows=rows_of(self._facts), units=self._facts["input"]["units"])
        for commit in self.commit_log.each_commit():
            counts.add(commit)
        return counts


def recorded_job(
    output: str,
    sets: tuple[str, ...] = (),
    address: str | None = None,
    yes: bool = False,
    executor: str | None = None,
) -> JobConfig:
    """The job that made an OUTPUT, from its ``run.json``.

    What another user or machine recorded is only taken for a job when the caller says so, and
    never what it allowed rows to name.

    Args:
        output: OUTPUT of a run.
        sets: settings to change, ``key=value``; one that changes results is refused later.
        address: Ray cluster to join.
        yes: run the job also where another made OUTPUT.
        executor: what runs the stages; None for Ray, whatever the run had.

    Raises:
        UsageError: no run was ever started there, its settings are not understood, or another
            made it, and what would be read is listed.
    """
    commit_log, facts = open_output(output)
    require(facts, output, "config", "state", "started")
    recorded = {**facts["config"], "output": output, "max_errors": None, "address": None}
    for where in ("executor", "keep_warm_s", "metrics_port", "metrics_host"):
        recorded.pop(where, None)
    _refuse_scorer_files(recorded, output)
    if not commit_log.owns(facts):
        for setting in _WIDENING:
            recorded.pop(setting, None)
        if not yes:
            raise UsageError(
                f"{output} was made by another user or machine. Its retry {_contacts(recorded)}; "
                "rows may name what the place of their manifest allows. With --yes it does"
            )
    return make_job({"address": address, "executor": executor}, sets=sets, recorded=recorded)


def _refuse_scorer_files(config: Mapping[str, Any], output: str) -> None:
    """Runs record scorers of a file by what they are; a file that is named was put there."""
    score = config.get("score")
    named = score.get("scorers") if isinstance(score, Mapping) else None
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    if any(is_scorer_file(part) for name in names for part in str(name).split(",")):
        raise UsageError(
            f"{output}: its run.json names a file of scorers, which no run records; give them by "
            "--set score.scorers=…"
        )


def _contacts(config: Mapping[str, Any]) -> str:
    """What a job reads, in words."""
    examples, speech = config.get("examples"), config.get("tts")
    named = {
        "loads model": config.get("model"),
        "reads input": config.get("input"),
        "prompts": config.get("prompts"),
        "examples": examples.get("input") if isinstance(examples, Mapping) else None,
        "voices": speech.get("voices") if isinstance(speech, Mapping) else None,
        "task": config.get("task"),
    }
    return ", ".join(f"{what} {shown(value)}" for what, value in named.items() if value)


def retry_job(
    job: JobConfig,
    only: str | None = None,
    style: Style = "quiet",
    make: StageFactory = make_stages,
    verbose: bool = False,
    executor: Executor | None = None,
) -> RunResult:
    """Run the failed rows of a job again; those that succeed leave the errors table.

    Args:
        job: as it was run, see `recorded_job`.
        only: try rows that failed with this kind; None tries all.
        style: what to print.
        make: builds the stages; only tests give another.
        verbose: let Ray print what it has to say.
        executor: runs the stages; None takes what `job.executor` names.

    Raises:
        UsageError: no such rows, another job, or input that changed; nothing was started.
        RunFailed: it stopped; the same call goes on.
    """
    if make is not make_stages:  # a worker of its own could not import them
        executor = executor or executor_for(job, verbose)
    with (
        answered(), serving(job.metrics_port, job.metrics_host, style) as metrics,
        choosing(job, verbose, executor) as choice,
    ):  # fmt: skip
        model = checked_model(job)
        # rows that may not be read failed before, and fail again
        rules = job.input_rules.model_copy(update={"refused": "rows"})
        before = ids_before(open_output(job.output)[1])
        with reading_input():
            plan = make_plan(
                job.input,
                job.spec,
                job.unit_rows,
                job.limit,
                rules,
                job.manifest,
                before,
                job.unit_bytes,
            )
        retry = Retry(job, plan, model, style, only, choice.of(plan.rows))
        metrics.watch(retry.progress)
        # what is kept of a unit is kept of all its rows: a retry keeps nothing
        result = retry.execute(lambda *given: replace(make(*given), kept_stages=()))
    return replace(result, tried=retry.tried, mended=retry.mended)
