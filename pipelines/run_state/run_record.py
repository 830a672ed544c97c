"""``run.json``: what was run, with what, and what came of it; and whether two runs are one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Literal

from pydantic import ValidationError

from actors.storage.model_hub import commit_of
from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.planning.plan import Plan
from pipelines.planning.pool_sizing import Allocation
from pipelines.planning.span_policy import passage_rule
from pipelines.run_state.counts import Counts
from uniaudio2.checkpoint.folders import model_fingerprint
from uniaudio2.config import ModelConfig
from uniaudio2.frozen import explain
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tasks.table import TASKS, get_task

State = Literal["running", "finished"]
_PACKAGES = ("uniaudio2-batch", "ray", "torch", "torchaudio", "transformers", "pyarrow")
_SOURCES_LISTED = 100
_SHOWN_CHARACTERS = 100
# in records of builds that knew units by their places
_NOT_ANOTHER_JOB = ("limit", "unit_rows")


def identity(job: JobConfig, model: ModelConfig) -> dict[str, Any]:
    """What makes a job this one: settings that change results, and the model."""
    facts = {**job.identity(), "model": model_fingerprint(model)}
    if rule := passage_rule(job, model):
        facts["passages"] = rule.model_dump(mode="json")
    return facts


def check_same_job(recorded: dict[str, Any], wanted: dict[str, Any], output: str) -> None:
    """Refuse to mix two jobs in one OUTPUT.

    Raises:
        UsageError: names every field that differs.
    """
    old, new = (_flat(dict(facts)) for facts in (recorded["job"], wanted))
    for key in _NOT_ANOTHER_JOB:
        old.pop(key, None)
    if "passages" not in recorded["job"]:  # builds that cut no texts; what is left of them is
        new = {key: value for key, value in new.items() if not key.startswith("passages.")}
    differing = [
        f"{key} {_short(old.get(key))} there, {_short(new.get(key))} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if differing:
        raise UsageError(
            f"{output} holds another job: {'; '.join(differing)}; "
            "choose another OUTPUT, or --fresh to remove the old results"
        )


def recorded_task(run: Mapping[str, Any]) -> TaskSpec:
    """The task of a run, as its record defines it: it may be the user's own, or cut short.

    Raises:
        UsageError: there is no such task, or its definition breaks a rule.
    """
    job = run["job"]
    try:
        if "definition" not in job:
            return get_task(job["task"])
        known = TASKS.get(job["task"])
        return TaskSpec(**{**job["definition"], "summary": known.summary if known else ""})
    except ValidationError as fault:
        raise UsageError(f"run.json defines no task: {explain(fault)}") from fault
    except (ValueError, TypeError) as fault:
        raise UsageError(f"run.json names no task: {fault}") from fault


def recorded_allow(run: Mapping[str, Any]) -> tuple[str, ...]:
    """What the user allowed the rows of a run to name besides, see `AddressPolicy`."""
    rules = run.get("config", {}).get("input_rules")
    allow = rules.get("allow") if isinstance(rules, Mapping) else None
    return tuple(map(str, allow)) if isinstance(allow, list) else ()


def recorded_base(run: Mapping[str, Any]) -> str:
    """The folder in which a run's relative audio paths start, if it was given; else ""."""
    rules = run.get("config", {}).get("manifest")
    base = rules.get("base") if isinstance(rules, Mapping) else None
    return str(base or "")


def _flat(facts: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Groups of facts as dotted keys, so that a difference is named where it is."""
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def run_record(
    job: JobConfig, plan: Plan, model: ModelConfig, counts: Counts, other_rows: int = 0
) -> dict[str, Any]:
    """The facts of ``run.json``, all but state and times.

    Args:
        job: that is run.
        plan: of its INPUT.
        model: that it takes.
        counts: of the whole job.
        other_rows: committed rows that are none of the plan.
    """
    return {
        "job": identity(job, model),
        "config": job.model_dump(mode="json"),
        "model": {"name": model.name, "trained": model.trained, "commit": commit_of(job.model)},
        "input": {
            "sources": plan.sources[:_SOURCES_LISTED],
            "source_count": len(plan.sources),
            "rows": plan.rows,
            "units": counts.units,
            "later_files": plan.later_files,
            "other_rows": other_rows,
            "former_ids": plan.ids_before.former,
            "settled_ids": plan.ids_before.settled,
            "columns": plan.schema.names,
            "columns_read": list(plan.columns_read),
            "left_out": [left_out.record() for left_out in plan.left_out],
            "notes": list(plan.notes),
        },
        "counts": {
            "ok": counts.ok,
            "errors": counts.errors,
            "kinds": counts.kinds,
            "marks": counts.marks,
        },
        "audio": {"input_s": counts.input_s, "output_s": counts.output_s},
        "versions": {name: version(name) for name in _PACKAGES},
    }


def setup_record(allocation: Allocation, cluster: Mapping[str, float]) -> dict[str, Any]:
    """The pools of a run and what they had to share, for ``run.json``."""
    return {
        "cpus": cluster.get("CPU", 0.0),
        "gpus": cluster.get("GPU", 0.0),
        "task_cpus": allocation.task_cpus,
        "pools": [asdict(pool) for pool in allocation.pools],
    }
