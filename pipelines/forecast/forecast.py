"""`forecast_job`: what a run would do, take and cost, from its plan and a probe of some rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from actors.batch.unit import UnitSpec
from actors.prefetch.in_processes import Readers
from actors.storage.model_source import local_model
from actors.storage.object_store import Storage
from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.executor.stages import check_columns
from pipelines.forecast.draw import draw
from pipelines.forecast.figures import (
    Estimate,
    Left,
    Prices,
    estimated,
    figures_of,
    stage_work,
)
from pipelines.forecast.pools import (
    Setup,
    balanced,
    executor_of,
    proposals,
    setup_of,
    stage_spans,
)
from pipelines.forecast.probe import CountText, Probe, run_probe
from pipelines.jobs.pending import find_pending
from pipelines.jobs.signals import answered, reading_input
from pipelines.planning.plan import Plan, idle_stages, make_plan, passthrough_schema
from pipelines.planning.preflight import (
    check_channel_ids,
    check_output_outside_input,
    check_rule,
    checked_model,
    pinned_job,
)
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.kept_plan import kept_plan
from pipelines.run_state.run_facts import ids_before
from pipelines.run_state.run_record import check_same_job, identity
from uniaudio2.checkpoint.folders import model_folder
from uniaudio2.config import ModelConfig
from uniaudio2.shown import counted
from uniaudio2.tasks.spec import AUDIO

PROBE_ROWS = 64
_WARM_ROWS = 4


@dataclass(frozen=True)
class Asked:
    """What a forecast is asked for.

    Attributes:
        rows: of the probe.
        cpus: of a cluster that is not here; None asks about this machine.
        gpus: likewise.
        prices: of machines.
    """

    rows: int = PROBE_ROWS
    cpus: float | None = None
    gpus: float | None = None
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        job: of the run.
        rows: of the manifest.
        done: of them that OUTPUT has.
        left: the others.
        setup: what would do them, pools balanced; None where nothing is left.
        probe: what was measured; None likewise.
        figures: by name, see `figures_of`.
        spans_s: seconds that each stage works if it never waits.
        settings: ``--set`` words that balance the pools.
        notes: what a reader should know of the figures.
    """

    job: JobConfig
    rows: int
    done: int
    left: Left
    setup: Setup | None = None
    probe: Probe | None = None
    figures: dict[str, Estimate] | None = None
    spans_s: dict[str, float] | None = None
    settings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bottleneck(self) -> str:
        """The stage that all others wait for; "" where nothing is left."""
        return max(self.spans_s, key=self.spans_s.__getitem__) if self.spans_s else ""

    def facts(self) -> dict[str, Any]:
        """All of it, as ``--json`` prints it; a figure has `value`, `low` and `high`."""
        setup, probe = self.setup, self.probe
        return {
            "event": "plan",
            "task": self.job.spec.name,
            "input": self.job.input,
            "output": self.job.output,
            "rows": {"manifest": self.rows, "done": self.done, "left": self.left.rows},
            "units": self.left.units,
            "scaled_by": "audio" if self.left.row_s else "rows",
            "probe": {
                "rows": sum(unit.rows for unit in probe.units),
                "units": len(probe.units),
                "failed_units": len(probe.faults),
            }
            if probe
            else None,
            "executor": setup.kind if setup else None,
            "workers": setup.workers if setup else None,
            "resources": dict(setup.resources) if setup else {},
            "pools": [asdict(pool) for pool in setup.allocation.pools]
            if setup and setup.has_pools
            else [],
            "figures": {name: asdict(one) for name, one in (self.figures or {}).items()},
            "stage_spans_s": self.spans_s or {},
            "bottleneck": self.bottleneck or None,
            "settings": list(self.settings),
            "notes": list(self.notes),
        }


def forecast_job(job: JobConfig, asked: Asked | None = None) -> Forecast:
    """Tell what a run would do, take and cost; OUTPUT is read, never written.

    Some rows, drawn evenly over what is left to do, go through the real stages on this machine into
    a temporary folder, and what they take is multiplied.

    Args:
        job: as `run_job` takes it.
        asked: how large the probe is, about which machines, at which prices.

    Raises:
        UsageError: the job cannot be run as asked, or is of a cluster: that is not asked here.
        RunFailed: INPUT or OUTPUT cannot be read, no unit of the probe came through, or it was
            interrupted.
    """
    asked = asked or Asked()
    if job.address is not None:
        raise UsageError(
            f"plan probes on this machine, and address {job.address} is elsewhere: leave it out "
            "and give the cluster's --cpus and --gpus, best on one of its nodes"
        )
    job = pinned_job(job)
    model = checked_model(job)
    with answered():
        plan, pending, done = _read(job, model)
        if not pending:
            return Forecast(job, plan.rows, done, Left(0, 0))
        return _probed(job, model, plan, pending, done, asked)


def _read(job: JobConfig, model: ModelConfig) -> tuple[Plan, list[UnitSpec], int]:
    """The plan of all of INPUT, what of it is to be done, and how many rows are done."""
    check_output_outside_input(job)
    commit_log = CommitLog(Storage(job.output))
    commit_log.refuse_links()
    recorded = commit_log.read_run()
    if recorded is not None:
        check_same_job(recorded, identity(job, model), job.output)
    with closing(Readers()) as readers, reading_input():
        plan = make_plan(
            job.input, job.spec, job.unit_rows, job.limit, job.input_rules, job.manifest,
            ids_before(recorded), job.unit_bytes, kept_plan(commit_log.storage, recorded, False),
            None, readers,
        )  # fmt: skip
    check_columns(job, idle_stages(job.spec, plan.schema))
    check_channel_ids(job, plan)
    check_rule(job, passthrough_schema(plan.schema))
    if recorded is None:
        return plan, plan.units, 0
    found = find_pending(plan, commit_log.each_commit(), lambda commit: None)
    return plan, found.units, plan.rows - sum(unit.row_count for unit in found.units)


def _probed(
    job: JobConfig,
    model: ModelConfig,
    plan: Plan,
    pending: Sequence[UnitSpec],
    done: int,
    asked: Asked,
) -> Forecast:
    """Run the probe, and multiply what it found."""
    setup = setup_of(job, plan.rows, idle_stages(job.spec, plan.schema), asked.cpus, asked.gpus)
    drawn = draw(
        pending, asked.rows, _WARM_ROWS, setup.workers, AUDIO in job.spec.columns,
        job.verify.rule is not None,
    )  # fmt: skip
    probe = run_probe(
        job, plan, model, drawn, executor_of(setup), setup.allocation, _counter(job, model)
    )
    rows = sum(unit.row_count for unit in pending)
    left = Left(rows, len(pending), drawn.row_s)
    work = stage_work(probe.units, left, job.verify.attempts)
    grown = balanced(setup, work) if setup.has_pools else setup
    figures = estimated(
        probe.units,
        partial(figures_of, probe=probe, left=left, setup=grown, job=job, prices=asked.prices),
    )
    return Forecast(
        job, plan.rows, done, left, grown, probe, figures, stage_spans(grown, work),
        tuple(proposals(setup, grown)), (*_notes(probe, grown, asked), *plan.notes),
    )  # fmt: skip


def _counter(job: JobConfig, model: ModelConfig) -> CountText | None:
    """Counts the ids of a text that is made."""
    path = model_folder(local_model(job.model, weights=False)) / "tokenizer/tokenizer.json"
    if job.spec.output != "text" or not path.is_file():
        return None
    from uniaudio2.lm.tokenizer import TextTokenizer

    tokenizer = TextTokenizer.load(path, model.lm)
    return lambda text: len(tokenizer.encode(text)) - 1  # its begin is given, its end is drawn


def _notes(probe: Probe, setup: Setup, asked: Asked) -> list[str]:
    """What the figures do not have in them."""
    notes = []
    if setup.kind == "ray":
        notes.append(
            "Ray's own start, and what stages that share processors cost one another, are not in "
            "the times: the probe ran one stage after the other in one process"
        )
    if asked.cpus is not None or asked.gpus is not None:
        notes.append(
            "the times are this machine's: a node whose processors or GPUs differ takes others"
        )
    if probe.faults:
        failed = counted(len(probe.faults), "unit")
        notes.append(f"{failed} of the probe did not come through ({probe.faults[0]})")
    return notes
