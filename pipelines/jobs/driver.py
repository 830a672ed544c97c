"""The driver of a job: resume, stream, commit, and an honest account at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from actors.batch.names import FOLDER
from actors.batch.receipt import Receipt
from actors.batch.stage_times import StageTime
from actors.batch.unit import UnitSpec
from actors.disks.exclusive_names import NoExclusiveNames
from actors.storage.object_store import Storage
from pipelines.causes import MAX_ERRORS, stopped
from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.executor.executor import Executor
from pipelines.executor.stages import Stages, make_stages
from pipelines.jobs.account import Account
from pipelines.jobs.attempts import Attempts
from pipelines.jobs.commits.committer import Committer, Redo
from pipelines.jobs.commits.compaction import Compaction
from pipelines.jobs.commits.grouped_commits import GroupedCommits
from pipelines.jobs.passes import Calls, Passes
from pipelines.jobs.pending import find_pending, known_keys, with_kept
from pipelines.jobs.result import RunResult
from pipelines.jobs.row_isolation import merged
from pipelines.jobs.signals import stoppable
from pipelines.planning.head_start import Portions
from pipelines.planning.keys.row_keys import KEY_BYTES
from pipelines.planning.plan import Plan, idle_stages, passthrough_schema
from pipelines.planning.pool_sizing import Allocation
from pipelines.progress.progress import Progress, Style
from pipelines.run_state.commit_log import RESULTS, SWEPT, CommitLog
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.counts import Counts
from pipelines.run_state.lease import Lease
from uniaudio2.config import ModelConfig
from uniaudio2.shown import counted

StageFactory = Callable[[JobConfig, Allocation, pa.Schema, ModelConfig], Stages]


class Run:
    """One run of a job: owns the plan, the commit log and the progress; `execute` does the work."""

    hopeless_units = 3  # when so many fail and no other arrives, it is not for their rows
    adds_attempts = False  # rows that fail again keep count of how often they were tried

    def __init__(
        self,
        job: JobConfig,
        plan: Plan,
        model: ModelConfig,
        style: Style,
        fresh: bool,
        executor: Executor,
        later: Portions | None = None,
    ) -> None:
        self.job = job
        self.executor = executor
        self.plan = plan
        self.later = later
        self.model = model
        self.commit_log = CommitLog(Storage(job.output))
        self.progress = Progress(Counts(rows=plan.rows, units=len(plan.units)), style)
        self.fresh = fresh
        self.account = Account(job, model, self.commit_log, self.progress)
        self.committer = Committer(self.commit_log, job.audio.channel == "each")
        self.other_rows = self.computed = 0
        self._removed: dict[int, bytes] = {}
        self._redoes: dict[int, int] = {}  # the committed unit whose rows a unit does again
        self.attempts = None if job.verify.rule is None else Attempts(self.commit_log.storage)
        self._spent: tuple[StageTime, ...] = ()  # on units that came to no commit
        self._has_begun = False
        self.compaction: Compaction | None = None
        self._check_lease: Callable[[], None] = lambda: None
        self._grouped = GroupedCommits(
            self._commit_now, job.commit_interval_s, job.parts.target_bytes // 2 - 1
        )

    def execute(self, make: StageFactory = make_stages) -> RunResult:
        """Do what is not yet committed, then clean up and write the account."""
        begun = time.monotonic()
        with self._hold() as lease, self.progress:
            if not lease.fenced:
                self.account.warn_unfenced()
            self._portions(lease, make)
            self._withdraw()
            self._sweep()
            counts = self._counts()
            elapsed_s = time.monotonic() - begun
            if counts.is_complete:
                self.account.state = "finished"
            self.account.record(self.plan, counts, self.other_rows, elapsed_s)
        report = self.account.report(
            self.executor, not self.computed and not self._removed, self._has_begun
        )
        return RunResult(
            self.job.output,
            counts,
            elapsed_s,
            3 if counts.errors else 0,
            report=report,
            computed=self.computed,
        )

    def _portions(self, lease: Lease, make: StageFactory) -> None:
        """Do what is planned, while the rest of INPUT is planned, portion after portion."""
        pending = self._resume()
        if self.later is not None:
            self.later.start()
        try:
            while True:
                if pending:
                    self._work(pending, lease, make)
                if self.later is None or not self.plan.later_files:
                    return
                self.plan, self.fresh = self.later.next(), False
                self.progress.counts = Counts(rows=self.plan.rows, units=len(self.plan.units))
                pending = self._resume()
        finally:
            if self.later is not None:
                self.later.stop()

    def _sweep(self) -> None:
        """Remove what no commit names, unless another run has made some of it."""
        self.committer.check_alone()
        # rows that are beyond a limit may wait to be made again
        self.commit_log.sweep(SWEPT if self.job.limit is None else (*RESULTS, FOLDER))

    def _counts(self) -> Counts:
        """Those of the whole job."""
        return self.progress.counts

    def _hold(self) -> Lease:
        """Take OUTPUT for this run; the first write, so it also proves that one can write."""
        self.commit_log.refuse_links()
        try:
            return Lease(self.commit_log.storage).acquire()
        except NoExclusiveNames as fault:
            raise UsageError(f"{self.job.output}: {fault.strerror}") from fault
        except (FileNotFoundError, NotADirectoryError, PermissionError) as fault:
            raise UsageError(
                f"{self.job.output} cannot be written: {fault}; check the path, the bucket and "
                "the permissions"
            ) from fault

    def _resume(self) -> list[UnitSpec]:
        """Units to do: of rows that no commit has, or has of another content."""
        if self.fresh:
            self.commit_log.clear()
        recorded = self.commit_log.read_run()
        if recorded is None:
            self._record()
        else:
            self.account.go_on(recorded)
        if self.plan.kept is not None:
            is_whole = not self.plan.later_files and self.job.limit is None
            self.plan.kept.store(is_whole)
        counts = self.progress.counts
        compaction = self._compaction()
        # what another run writes from here on is found out, see `Committer.next_number`
        _ = self.committer.next_number

        def known(commit: Commit) -> None:
            counts.add(commit)
            if compaction:
                compaction.found(commit)

        found = find_pending(self.plan, self.commit_log.each_commit(), known)
        planned = {unit.unit: unit for unit in self.plan.units}
        self.committer.keys_of = lambda commit: known_keys(commit, planned) or b""
        self.committer.redo = {
            unit.unit: Redo(found.supersedes[unit.unit], self.committer.is_of(unit.row_keys))
            for unit in found.units
            if unit.unit in found.supersedes
        }
        self._removed = {} if self.job.limit else found.removed
        self.other_rows = found.removed_rows
        counts.rows += found.removed_rows
        pending = self._begin(found.units, found.supersedes, found.next_number(self.plan))
        counts.units = counts.units_done + self._of_their_own(pending)
        counts.redo = found.changed
        for event, note in found.notes(self.job.removed, self.job.limit is None):
            self.progress.say(event, note)
        if found.unknown:
            self.commit_log.withdraw(found.unknown)
        return self._with_kept(pending)

    def _begin(self, units: list[UnitSpec], redoes: Mapping[int, int], free: int) -> list[UnitSpec]:
        """Units as they are to be done, see `Attempts.begin`."""
        self._redoes = dict(redoes)
        if self.attempts is None:
            return units
        found = self.attempts.begin(units, redoes, free)
        self._redoes = self.attempts.redoes
        return found

    def _of_their_own(self, units: Sequence[UnitSpec]) -> int:
        """How many units do no other one's rows again."""
        return sum(unit.unit not in self._redoes for unit in units)

    def _compaction(self) -> Compaction | None:
        """Merges small parts, where the job lets it."""
        if self.job.parts.merge:
            self.compaction = Compaction(
                self.commit_log, self.committer, self.executor, self.job.parts.target_bytes,
                self.progress.say,
            )  # fmt: skip
        return self.compaction

    def _withdraw(self) -> None:
        """Take out what INPUT no longer has, where that is asked for."""
        if self.job.removed == "keep":
            return
        counts = self.progress.counts
        for unit, keys in self._removed.items():
            change = self.committer.withdraw(unit, keys)
            if change.before is not None:
                counts.take_out(change.before)
                counts.units -= 0 if change.now else change.before.units
            if change.now is not None:
                counts.add(change.now)
            counts.rows -= len(keys) // KEY_BYTES
            self.other_rows -= len(keys) // KEY_BYTES

    def _with_kept(self, units: list[UnitSpec]) -> list[UnitSpec]:
        """Point units at the tokens that an earlier attempt kept of them."""
        return with_kept(units, self.commit_log)

    def _record(self) -> None:
        self.account.record(self.plan, self._counts(), self.other_rows)

    def _headline(self, pending: list[UnitSpec]) -> str:
        done, rows = self.progress.counts.done, sum(unit.asked for unit in pending)
        return (
            f"{self.job.spec.name}: {counted(rows, 'row')} in {counted(len(pending), 'unit')}"
            + (f" ({done} of {self.progress.counts.rows} were done before)" if done else "")
            + f"; {counted(self.plan.later_files, 'more file')} are being planned"
            * bool(self.plan.later_files)
            + "".join(f"; {left_out}" for left_out in self.plan.left_out)
        )

    def _work(self, pending: list[UnitSpec], lease: Lease, make: StageFactory) -> None:
        self.progress.begin(self._headline(pending))
        self.account.introduce(self.plan)
        self.executor.start()
        self._has_begun = True
        self.account.probe(self.executor, self.plan)
        resources = self.executor.resources()
        allocation = self.executor.allocate(self.job, idle_stages(self.job.spec, self.plan.schema))
        self.account.begin(allocation, resources)
        self._record()
        for note in allocation.notes:
            self.account.say_once("note", note)
        fields = passthrough_schema(self.plan.schema)
        stages = make(self.job, allocation, fields, self.model)
        # stoppable again: Ray puts its own handler in place when it starts
        with self.executor.session(self.job.stage_timeout_s), stoppable():
            self._check_lease = lease.check
            with self._grouped:
                again = None if self.attempts is None else self._made_again
                run = Calls(
                    self._look, self._arrived, again, self._with_kept, self.progress.say,
                    self.progress.tally,
                )  # fmt: skip
                passes = Passes(
                    self.job, self.executor, stages, allocation, lease, self.hopeless_units, run
                )
                passes.take(pending)
            if self.compaction is not None:
                self.compaction.finish()
            self.account.take_in(self.executor.joined())

    def _look(self) -> None:
        """Between any two units: whether the run may go on, and who joined the cluster."""
        self._check_lease()
        if self.later is not None:
            self.later.check()
        self.account.take_in(self.executor.joined())

    def _made_again(self, only_whole: bool) -> list[UnitSpec]:
        """Units of rows that wait to be made again, see `Attempts.units`."""
        if self.attempts is None:
            return []
        found = self.attempts.units(only_whole)
        self.progress.counts.units += self._of_their_own(found)
        return found

    def _arrived(self, unit: UnitSpec, receipts: Sequence[Receipt]) -> None:
        """Commit what came of a unit; rows that are made again are in no commit yet."""
        commit = merged(unit, receipts)
        if self.attempts is None:
            self._commit(commit)
            return
        self.attempts.arrived(unit, receipts)
        self.progress.tally.add_again(sum(len(receipt.again) for receipt in receipts))
        spent, self._spent = (*self._spent, *commit.stages), ()
        if not commit.ok + commit.errors:
            self._spent = spent
            self.progress.counts.units -= self._of_their_own([unit])
            return
        if unit.unit in self._redoes:  # what was made of the others holds until they are done
            is_out = self.committer.is_of(commit.row_keys)
            redo = Redo(self._redoes[unit.unit], is_out, self.adds_attempts)
            self.committer.redo[unit.unit] = redo
        self._commit(replace(commit, stages=spent))

    def _check_rows(self, commit: Commit) -> None:
        """Refuse rows that nobody asked for."""
        if commit.added_rows and self.job.audio.channel != "each":
            raise RuntimeError(f"unit {commit.unit} came back with {commit.added_rows} rows more")

    def _commit(self, commit: Commit) -> None:
        """Make a unit visible, at once or together with those that come right behind it."""
        self._check_rows(commit)
        self._grouped.add(commit, alone=commit.unit in self.committer.redo or not commit.is_keyed)
        counts, waiting = self.progress.counts, self._grouped.waiting
        if self.job.exceeds_max_errors(
            counts.errors + waiting.errors, counts.ok + counts.errors + waiting.rows
        ):
            self._grouped.flush()

    def _commit_now(self, commits: Sequence[Commit]) -> None:
        """Make units visible, count them, and stop a job that is past hope."""
        self._check_lease()
        with self.progress.tally.committing():
            change = self.committer.commit_many(commits)
        if self.attempts is not None:
            self.attempts.committed(commits)
        if self.compaction is not None:
            self.compaction.changed(change)
        for commit in commits:
            self.computed += commit.ok + commit.errors
            self.progress.committed(commit, change.before, change.now if change.before else None)
        counts = self.progress.counts
        done = counts.ok + counts.errors
        if self.job.exceeds_max_errors(counts.errors, done):
            kinds = ", ".join(f"{n} {kind}" for kind, n in counts.kinds.most_common(5))
            raise stopped(
                MAX_ERRORS,
                f"{counts.errors} of {done} rows failed ({kinds}), more than max_errors "
                f"{self.job.max_errors}",
                f"look at {self.job.output}/errors and correct the input",
            )
