"""`run_job`: check a job, plan it and run it."""

from __future__ import annotations

from contextlib import closing

from actors.prefetch.in_processes import Readers
from actors.storage.object_store import Storage
from pipelines.config.job import JobConfig
from pipelines.executor.executor import Executor, executor_for
from pipelines.executor.process.executor_choice import choosing
from pipelines.executor.stages import check_columns, make_stages
from pipelines.jobs.driver import Run, StageFactory
from pipelines.jobs.result import RunResult as RunResult  # what it returns, in one place
from pipelines.jobs.signals import answered, reading_input
from pipelines.manifest.tables.options import IdsBefore
from pipelines.metrics.server import serving
from pipelines.planning.head_start import FIRST_FILES, Portions
from pipelines.planning.plan import Plan, idle_stages, make_plan, passthrough_schema
from pipelines.planning.preflight import (
    check_channel_ids,
    check_output_outside_input,
    check_rule,
    checked_model,
    pinned_job,
)
from pipelines.progress.progress import Style
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.kept_plan import KeptPlan, kept_plan
from pipelines.run_state.run_facts import ids_before


def run_job(
    job: JobConfig,
    style: Style = "quiet",
    fresh: bool = False,
    make: StageFactory = make_stages,
    verbose: bool = False,
    executor: Executor | None = None,
) -> RunResult:
    """Run a task over a manifest into a folder of results, on this machine or a Ray cluster.

    The manifest is checked, cut into units of rows and streamed through the task's stages. Each
    unit becomes one Parquet part in ``OUTPUT/data`` (and one in ``OUTPUT/errors`` for rows that
    failed) and one commit record. All state is in OUTPUT: after a stop of any kind the same call
    goes on with the units that are not committed, and when all are, it does nothing. A row that
    cannot be done costs that row alone.

    Ray is started when it does not run in this process yet, and stays up for the next call.

    Args:
        job: what to do; see `JobConfig`.
        style: ``quiet`` prints nothing, ``lines`` tells people how far it is, ``json`` machines.
        fresh: remove a former run's results in OUTPUT first.
        make: builds the stages; only tests give another.
        verbose: let Ray print what it has to say.
        executor: runs the stages; None takes what `job.executor` names.

    Returns:
        counts of rows and seconds, earlier calls included, and an exit code: 0 when every row
        succeeded, 3 when some are in the errors table.

    Raises:
        UsageError: the job cannot be run as asked: no such input, a column or a model is missing,
            OUTPUT holds another job or is in use. Nothing was started.
        RunFailed: it stopped; its `cause` is a row of `pipelines.causes`, which says whether the
            same call goes on.

    Examples:
        >>> from pipelines import JobConfig, run_job
        >>> job = JobConfig(task="tokenize", input="recordings/", output="out/tokens")
        >>> result = run_job(job)
        >>> result.counts.ok, result.counts.errors
        (120, 0)
    """
    job = pinned_job(job)
    model = checked_model(job)
    if make is not make_stages:  # a worker of its own could not import them
        executor = executor or executor_for(job, verbose)
    with (
        answered(), serving(job.metrics_port, job.metrics_host, style) as metrics,
        choosing(job, verbose, executor) as choice, closing(Readers()) as readers,
    ):  # fmt: skip
        check_output_outside_input(job)
        commit_log = CommitLog(Storage(job.output))
        commit_log.refuse_links()
        recorded = commit_log.read_run()
        before = ids_before(None if fresh else recorded)
        storage = commit_log.storage

        def planned(files: int | None, kept: KeptPlan | None, before: IdsBefore) -> Plan:
            with reading_input():
                plan = make_plan(
                    job.input, job.spec, job.unit_rows, job.limit, job.input_rules, job.manifest,
                    before, job.unit_bytes, kept, files, readers,
                )  # fmt: skip
            if not plan.later_files:
                readers.close()
            check_columns(job, idle_stages(job.spec, plan.schema))
            check_channel_ids(job, plan)
            check_rule(job, passthrough_schema(plan.schema))
            return plan

        # what was begun before goes on with all of INPUT, most of which is kept
        files = FIRST_FILES if (fresh or recorded is None) and job.limit is None else None
        plan = planned(files, kept_plan(storage, recorded, fresh), before)
        later = Portions(
            lambda more: planned(more, KeptPlan(storage), plan.ids_before), FIRST_FILES
        )
        run = Run(
            job, plan, model, style, fresh, choice.of(None if plan.later_files else plan.rows),
            later if plan.later_files else None,
        )  # fmt: skip
        metrics.watch(run.progress)
        return run.execute(make)
