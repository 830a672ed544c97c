"""Runs the rows of a probe by the real stages into a folder of its own, which goes with it."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.batch.names import REASON_CODES, RECON_CODES, TEXT, UNVERIFIED
from actors.batch.receipt import Fault, Receipt
from actors.batch.stage_times import steady_now_s
from pipelines.causes import of_stage
from pipelines.config.job import JobConfig
from pipelines.executor.executor import Executor
from pipelines.executor.stages import make_stages
from pipelines.forecast.draw import Drawn
from pipelines.planning.plan import Plan, passthrough_schema
from pipelines.planning.pool_sizing import Allocation
from uniaudio2.config import CODEBOOKS, ModelConfig

CountText = Callable[[str], int]


@dataclass(frozen=True)
class Probed:
    """What became of one unit of a probe.

    Attributes:
        rows: that were asked for.
        errors: of them that failed.
        kinds: errors by kind.
        input_s: seconds of audio read.
        output_s: seconds of audio written.
        bytes: of all objects that it wrote.
        part_bytes: of them, of its parts.
        objects: how many these were.
        tokens: ids of codes, and of text where text is made.
        busy_s: seconds of work by stage.
        told_s: seconds of audio by the columns of its rows; 0 where they do not tell.
        unverified: rows that break the job's rule at the first draw.
    """

    rows: int
    errors: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    input_s: float = 0.0
    output_s: float = 0.0
    bytes: int = 0
    part_bytes: int = 0
    objects: int = 0
    tokens: int = 0
    busy_s: Mapping[str, float] = field(default_factory=dict)
    told_s: float = 0.0
    unverified: int = 0


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    Attributes:
        units: all but the first of each worker.
        begin_s: seconds from the start of the stream to a worker's first call, the mean of all:
            workers start, models are loaded.
        first_s: what the workers' first units took, together; part of it is work as later units
            have it, too.
        first_rows: rows of these units.
        faults: units that did not come through, with the reason.
    """

    units: tuple[Probed, ...]
    begin_s: float
    first_s: float
    first_rows: int
    faults: tuple[str, ...] = ()


def run_probe(
    job: JobConfig,
    plan: Plan,
    model: ModelConfig,
    drawn: Drawn,
    executor: Executor,
    allocation: Allocation,
    count_text: CountText | None = None,
) -> Probe:
    """Run what was drawn; nothing of it is left.

    Args:
        job: that the rows are of; its OUTPUT is not touched.
        plan: of its INPUT.
        model: that it takes.
        drawn: rows.
        executor: runs the stages.
        allocation: what each of them has there.
        count_text: ids of a text; None where none is made.

    Raises:
        RunFailed: a stage cannot be built, or no unit came through.
    """
    with tempfile.TemporaryDirectory(prefix="uniaudio2-plan-") as folder:
        # each row is made once; how often again, `Probed.unverified` tells
        verify = job.verify.model_copy(update={"attempts": 1})
        job = job.model_copy(update={"output": folder, "verify": verify})
        return _in_folder(job, plan, model, drawn, executor, allocation, count_text)


def _in_folder(
    job: JobConfig,
    plan: Plan,
    model: ModelConfig,
    drawn: Drawn,
    executor: Executor,
    allocation: Allocation,
    count_text: CountText | None,
) -> Probe:
    stages = make_stages(job, allocation, passthrough_schema(plan.schema), model)
    units = [*drawn.warm_up, *drawn.units]
    receipts, faults = list[Receipt](), list[str]()
    begun_s = steady_now_s()
    executor.start()
    with executor.session(job.stage_timeout_s):
        for outcome in executor.stream(units, stages, allocation):
            if isinstance(outcome, Fault):
                faults.append(outcome.message)
            else:
                receipts.append(outcome)
    if not receipts:
        told = faults[0] if faults else "a worker died"
        raise of_stage(f"no unit of the probe came through: {told}")
    rows = {unit.unit: unit.row_count for unit in units}
    first, others = apart(receipts)
    found = [
        probed(one, rows[one.unit], job.output, drawn.told_s.get(one.unit, 0.0), count_text)
        for one in others
    ]
    return Probe(
        tuple(found),
        begin_s=max(sum(map(_begin_s, first)) / len(first) - begun_s, 0.0),
        first_s=sum(call.busy_s for one in first for call in one.stages),
        first_rows=sum(rows[one.unit] for one in first),
        faults=tuple(faults),
    )


def apart(receipts: Sequence[Receipt]) -> tuple[list[Receipt], list[Receipt]]:
    """The first unit of each worker, whose times tell of its start, and the others; where there is
    none, the first ones serve for them."""
    first: dict[str, Receipt] = {}
    for one in sorted(receipts, key=_begin_s):
        first.setdefault(one.stages[0].worker, one)
    numbers = {one.unit for one in first.values()}
    others = [one for one in receipts if one.unit not in numbers]
    return [*first.values()], others or [*receipts]


def _begin_s(receipt: Receipt) -> float:
    """When the first stage began, in seconds since 1970."""
    return min(call.begin for call in receipt.stages)


def probed(
    receipt: Receipt, rows: int, folder: str, told_s: float, count_text: CountText | None = None
) -> Probed:
    """What a receipt tells of a unit, and the parts that it names."""
    busy_s: dict[str, float] = defaultdict(float)
    for call in receipt.stages:
        busy_s[call.stage] += call.busy_s
    return Probed(
        rows=rows,
        errors=receipt.errors,
        kinds=receipt.kinds,
        input_s=receipt.input_s,
        output_s=receipt.output_s,
        bytes=sum(int(mark[0]) for mark in receipt.files.values()),
        part_bytes=sum(
            int(receipt.files[path][0]) for path in (*receipt.data, *receipt.error_parts)
        ),
        objects=len(receipt.files),
        tokens=count_tokens([Path(folder) / path for path in receipt.data], count_text),
        busy_s=dict(busy_s),
        told_s=told_s,
        unverified=receipt.marks.get(UNVERIFIED, 0) + receipt.kinds.get(UNVERIFIED, 0),
    )


def count_tokens(parts: Sequence[Path], count_text: CountText | None = None) -> int:
    """Ids of the codes in parts of an OUTPUT, and of the texts there if these are counted."""
    return sum(_tokens(pq.read_table(part), count_text) for part in parts)


def _tokens(table: pa.Table, count_text: CountText | None) -> int:
    found: int = 0
    for name in (REASON_CODES, RECON_CODES):
        if name in table.column_names:
            found += CODEBOOKS * int(pc.sum(pc.list_value_length(table[name])).as_py() or 0)
    if count_text is not None and TEXT in table.column_names:
        found += sum(map(count_text, table[TEXT].drop_null().to_pylist()))
    return found
