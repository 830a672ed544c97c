"""`retry_job`: run the rows of the errors table again, and let what comes of them hold instead.

A unit whose failed rows were tried again gets a new commit record: its parts so far, the new ones,
and one errors part with what still fails. That record alone makes both visible, so that every row
is in data or in errors, once, whenever a retry is killed.
"""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.channel_rows import whole_id
from actors.batch.error_rows import ERRORS_SCHEMA
from actors.batch.unit import UnitSpec, row_ids
from actors.stages.write import parquet_bytes, store
from pipelines.config.job import JobConfig, make_job
from pipelines.errors import RunFailed, UsageError
from pipelines.executor.executor import Executor, executor_for
from pipelines.executor.stages import make_stages
from pipelines.jobs.run import Run, RunResult, StageFactory
from pipelines.jobs.signals import answered
from pipelines.planning.plan import Plan, make_plan
from pipelines.planning.preflight import checked_model
from pipelines.progress.progress import Style
from pipelines.run_state.commit_log import RESULTS, SWEPT, open_output
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.counts import Counts
from pipelines.run_state.parts import read_errors_part
from pipelines.run_state.run_facts import require
from uniaudio2.config import ModelConfig
from uniaudio2.shown import shown

# what lets a run reach further than it could by itself; each user says so anew
_WIDENING = ("input_rules", "address")


class Retry(Run):
    """A run of failed rows alone, into the OUTPUT that has them.

    Args:
        only: try rows that failed with this kind; None tries all.
    """

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
        self.before: dict[int, Commit] = {}
        self.tried = 0
        self.mended = 0

    def _headline(self) -> str:
        return f"{self.job.spec.name}: {self.tried} failed rows again, in {len(self.before)} units"

    def _resume(self) -> list[UnitSpec]:
        """Units with rows that failed, cut down to these rows."""
        _, recorded = open_output(self.job.output)
        require(recorded, self.job.output, "state")
        self._go_on(recorded)
        self.state = recorded["state"]
        planned = {unit.unit: unit for unit in self.plan.units}
        pending, changed, kinds = [], 0, Counter[str]()
        for commit in self.commit_log.each_commit():
            kinds.update(commit.kinds)
            if not commit.errors or (self.only and self.only not in commit.kinds):
                continue
            number = commit.unit
            unit = planned.get(number)
            if unit is None or unit.fingerprint != commit.fingerprint:
                changed += 1
                continue
            self.before[number] = commit
            pending.append(self._failed_rows(unit, commit))
        self._check_kind(kinds)
        if changed:
            raise UsageError(
                f"the input rows of {changed} units with failed rows are no longer what they were; "
                "`uniaudio2 run` with the same arguments does those units again"
            )
        self.tried = sum(unit.asked for unit in pending)
        self.progress.counts = Counts(rows=self.tried, units=len(pending))
        return pending

    def _check_kind(self, kinds: Counter[str]) -> None:
        if self.only and kinds and self.only not in kinds:
            there = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
            raise UsageError(f"no row failed with kind {self.only!r}; there are {there}")

    def _errors(self, paths: tuple[str, ...]) -> pa.Table:
        """Rows of errors parts."""
        parts = [read_errors_part(self.commit_log.storage, path) for path in paths]
        return pa.concat_tables([ERRORS_SCHEMA.empty_table(), *parts])

    def _split(self, errors: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The rows that are tried again, and those that are left as they are."""
        if self.only is None:
            return errors, errors.slice(0, 0)
        chosen = pc.equal(errors["kind"], self.only)
        return errors.filter(chosen), errors.filter(pc.invert(chosen))

    def _failed_rows(self, unit: UnitSpec, commit: Commit) -> UnitSpec:
        tried, _ = self._split(self._errors(commit.error_parts))
        ids = list(_ids_of(unit))
        wanted = dict.fromkeys(tried["id"].to_pylist())
        each = self.job.audio.channel == "each"
        rows_of = {name: whole_id(name) if each and name not in ids else name for name in wanted}
        there = [name for name, whole in rows_of.items() if whole in ids]
        if len(there) != tried.num_rows:
            raise RunFailed(
                f"unit {unit.unit}: {tried.num_rows} rows failed and {len(there)} of them are in "
                "the input; check the input, or run with --fresh"
            )
        rows = set(rows_of.values())
        places = tuple(row for row, name in enumerate(ids) if name in rows)
        return replace(unit, only=places, wanted=tuple(there) if each else ())

    def _with_kept(self, units: list[UnitSpec]) -> list[UnitSpec]:
        return units  # kept tokens are those of whole units

    def _commit(self, commit: Commit) -> None:
        """Let the unit's new state hold in the place of the one that is committed."""
        self._check_rows(commit)
        before = self.before[commit.unit]
        # what another made of the unit stays another's
        own = self.commit_log.owns_commit(before)
        self.commit_log.commit(self._merged(before, commit), own)
        for path in (*before.error_parts, *commit.error_parts):
            self.commit_log.storage.delete(path)
        self.tried += commit.added_rows
        self.mended += commit.ok
        self.progress.committed(commit)

    def _merged(self, before: Commit, tried: Commit) -> Commit:
        again, left = self._split(self._errors(before.error_parts))
        back = tried.ok + tried.errors - tried.added_rows
        if back != again.num_rows:
            raise RunFailed(
                f"unit {tried.unit}: {again.num_rows} rows were tried, {back} "
                "came back; the same command tries them again"
            )
        failed = _with_attempts(self._errors(tried.error_parts), again)
        errors = pa.concat_tables([left, failed])
        old = {*before.error_parts, *tried.error_parts}
        files = {
            path: mark for path, mark in {**before.files, **tried.files}.items() if path not in old
        }
        parts: tuple[str, ...] = ()
        if errors.num_rows:
            parts = (f"errors/part-{tried.unit:08d}-{uuid.uuid4().hex[:8]}.parquet",)
            files[parts[0]] = store(self.commit_log.storage, parts[0], parquet_bytes(errors))
        return replace(
            tried,
            ok=before.ok + tried.ok,
            errors=errors.num_rows,
            data=(*before.data, *tried.data),
            error_parts=parts,
            audio=(*before.audio, *tried.audio),
            input_s=before.input_s + tried.input_s,
            output_s=before.output_s + tried.output_s,
            kinds=dict(Counter(errors["kind"].to_pylist())),
            files=files,
            stages=(*before.stages, *tried.stages),
            generation=before.generation + 1,
            marks=dict(Counter(before.marks) + Counter(tried.marks)),
            added_rows=before.added_rows + tried.added_rows,
        )

    def _sweep(self) -> None:
        """Remove what no commit names, but tokens kept for units that are still to be done."""
        whole = self.commit_log.units_done() == len(self.plan.units)
        self.commit_log.sweep(SWEPT if whole else RESULTS)

    def _counts(self) -> Counts:
        counts = Counts(rows=self.plan.rows, units=len(self.plan.units))
        for commit in self.commit_log.each_commit():
            counts.add(commit)
        return counts


def _ids_of(unit: UnitSpec) -> Iterator[str]:
    try:
        rows = unit.read()
    except (pa.ArrowException, OSError):
        rows = unit.read(["id"])  # some other column cannot be read
    return (str(name) for name in row_ids(rows))


def _with_attempts(failed: pa.Table, before: pa.Table) -> pa.Table:
    """Errors rows with the attempts made so far added to theirs."""
    earlier = dict(zip(before["id"].to_pylist(), before["attempts"].to_pylist(), strict=True))
    counts = [
        attempts + earlier.get(name, earlier.get(whole_id(name), 0))
        for name, attempts in zip(
            failed["id"].to_pylist(), failed["attempts"].to_pylist(), strict=True
        )
    ]
    place = failed.column_names.index("attempts")
    return failed.set_column(place, "attempts", pa.array(counts, pa.int32()))


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
    recorded.pop("executor", None)
    if not commit_log.owns(facts):
        for setting in _WIDENING:
            recorded.pop(setting, None)
        if not yes:
            raise UsageError(
                f"{output} was made by another user or machine. Its retry {_contacts(recorded)}; "
                "rows may name what the place of their manifest allows. With --yes it does"
            )
    return make_job({"address": address, "executor": executor}, sets=sets, recorded=recorded)


def _contacts(config: Mapping[str, Any]) -> str:
    """What a job reads, in words."""
    examples = config.get("examples")
    named = {
        "loads model": config.get("model"),
        "reads input": config.get("input"),
        "prompts": config.get("prompts"),
        "examples": examples.get("input") if isinstance(examples, Mapping) else None,
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
    with answered():
        model = checked_model(job)
        # rows that may not be read failed before, and fail again
        rules = job.input_rules.model_copy(update={"refused": "rows"})
        plan = make_plan(job.input, job.spec, job.unit_rows, job.limit, rules, job.manifest)
        executor = executor or executor_for(job, verbose)
        retry = Retry(job, plan, model, style, only, executor)
        # what is kept of a unit is kept of all its rows: a retry keeps nothing
        result = retry.execute(lambda *given: replace(make(*given), kept_stages=()))
    return replace(result, tried=retry.tried, mended=retry.mended)
