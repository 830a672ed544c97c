"""``report.html``: what is told, put together from OUTPUT alone, and rendered."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from actors.batch.names import (
    INPUT_DAMAGED_S,
    INPUT_MIX,
    INPUT_SHORT_BY_S,
    INPUT_UNFINISHED,
    MADE_AGAIN,
    NO_SPEECH,
    UNVERIFIED,
    VERIFIED,
)
from actors.batch.schema import CUT_SHORT
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed
from pipelines.manifest.tables.noticed import LeftOut
from pipelines.progress.live_view import format_duration
from pipelines.report.bottleneck import Bottleneck, find_bottleneck
from pipelines.report.card import card_of
from pipelines.report.histograms import histograms
from pipelines.report.pictures import area_path, bars_path
from pipelines.report.rows import RowFacts, read_errors, read_rows
from pipelines.report.samples import Gallery
from pipelines.report.stages import Timeline
from pipelines.report.totals import Totals, read_log
from pipelines.report.verified import VerifyFacts, verification
from pipelines.run_state.commit_log import REPORT, open_output
from pipelines.run_state.run_facts import require, rows_of
from pipelines.run_state.run_record import recorded_allow, recorded_base, recorded_task
from uniaudio2.shown import shown

_KEPT = "\n\r\t\u200c\u200d"  # lines of texts, and what joins letters of some scripts
_READ = (
    "state", "config.model", "job.task", "job.model", "model.name", "model.trained",
    "input.sources", "input.source_count", "input.rows", "input.units", "input.columns", "versions",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """A report that was made.

    Attributes:
        path: its address.
        bottleneck: what limited the run; None when no stage's times are recorded.
        speed: rows and audio a second, in words.
        size_bytes: its size; None of one that stood before.
    """

    path: str
    bottleneck: Bottleneck | None
    speed: str
    size_bytes: int | None = None


def standing_report(output: str) -> Report | None:
    """The ``report.html`` that OUTPUT has, as it is; None where it has none."""
    storage = Storage(output)
    return Report(storage.uri(REPORT), None, "") if storage.exists(REPORT) else None


def format_time(seconds: float | None) -> str:
    """A point in time as a date, in UTC."""
    if seconds is None:
        return "not yet"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _headline(totals: Totals, timeline: Timeline | None, facts: RowFacts) -> list[tuple[str, str]]:
    """The large numbers and what each one is."""
    rows = totals.ok + totals.errors
    numbers = [
        (f"{totals.ok:,}", "rows with a result"),
        (f"{totals.errors:,}", "rows in the errors table"),
    ]
    if totals.input_s:
        numbers.append((format_duration(totals.input_s), "of audio read"))
    if totals.output_s:
        numbers.append((format_duration(totals.output_s), "of audio made"))
    if timeline and timeline.active_s:
        numbers.append((f"{rows / timeline.active_s:.3g}", "rows a second"))
        longest = max(totals.input_s, totals.output_s)
        if longest:
            numbers.append((f"{longest / timeline.active_s:.3g}x", "real time"))
        numbers.append((format_duration(timeline.active_s), "of work"))
    if facts.errors.rate is not None:
        what = f"word error rate against {facts.reference}, {facts.errors.rows:,} rows"
        numbers.append((f"{facts.errors.rate:.1%}", what))
    return numbers


_MEANINGS = {
    INPUT_MIX: "channels cancelled or were six without places; the value says what was heard",
    INPUT_SHORT_BY_S: "seconds that manifest or header announce and the file does not hold",
    INPUT_DAMAGED_S: "seconds of silence in the place of what could not be decoded",
    NO_SPEECH: "nobody speaks, as `finish_reason` says of these rows: what they say is made up",
    VERIFIED: "the row keeps the rule of the job, `verify.rule`",
    UNVERIFIED: "no attempt keeps the rule; `verify_reason` says why the one that is kept does not",
    MADE_AGAIN: "a first draw broke the rule; `failed_attempts` tells of those that failed",
    INPUT_UNFINISHED: "the header was never completed, as when a recorder dies; read to the end",
    CUT_SHORT: "the answer ended at a limit, not by itself: speech or text may be missing; raise "
    "sampling.max_frames, or ask for less (these rows have finish_reason `length`)",
}


def _marks(totals: Totals) -> list[tuple[str, int, str]]:
    """Marks, how many rows bear each, and what it means."""
    return [(mark, count, _MEANINGS.get(mark, "")) for mark, count in totals.marks.most_common()]


def _speed(totals: Totals, timeline: Timeline | None) -> str:
    if timeline is None:
        return ""
    rows = (totals.ok + totals.errors) / timeline.active_s
    real_time = max(totals.input_s, totals.output_s) / timeline.active_s
    audio = f", {real_time:.3g} times real time" if real_time else ""
    return f"{rows:.3g} rows/s{audio}, over {format_duration(timeline.active_s)} of work"


def _error_groups(storage: Storage, totals: Totals, output: str) -> list[dict[str, Any]]:
    examples = read_errors(storage, totals.error_parts, totals.sizes)
    retry = f"uniaudio2 retry {shlex.quote(output)}"
    return [
        {
            "kind": kind,
            "count": count,
            "examples": examples.get(kind, []),
            "retry": f"{retry} --only {shlex.quote(kind)}",
        }
        for kind, count in totals.kinds.most_common()
    ]


def _inserted(value: Any) -> Any:
    """A value of the page: texts that are not ours are `shown`, but for what joins letters."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return shown(value, sys.maxsize // 4, keep=_KEPT)
    return value


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.report", "template"),
        autoescape=True,
        finalize=_inserted,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = format_duration
    environment.filters["area"] = area_path
    environment.filters["bars"] = bars_path
    environment.filters["time"] = format_time
    return environment


def render(context: Mapping[str, Any]) -> str:
    """The page; it may load nothing, run nothing, and has the one style sheet that is hashed."""
    environment = _environment()
    loader = environment.loader
    if loader is None:  # never: it is given above
        raise RuntimeError("no templates")
    style = loader.get_source(environment, "style.css")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # the style sheet is ours, and escaping it would change its hash
    page = {**context, "style": Markup(style), "policy": Markup(policy)}  # noqa: S704
    return environment.get_template("report.html").render(page)


def write_report(output: str, with_input_audio: bool = False) -> Report:
    """Make ``report.html`` from what OUTPUT holds.

    A few parts are in memory at a time, and of very large outputs an even sample is read; the
    page stays below some ten megabytes. Of a run of this user the sounds that went in are shown,
    too; of an OUTPUT that another user or machine made, nothing outside of it is read.

    Args:
        output: OUTPUT of a run, local or any fsspec URL.
        with_input_audio: read input audio wherever the rows of OUTPUT say that it is, whoever made
            them.

    Raises:
        UsageError: no run was ever started there, or what is there is none.
        RunFailed: storage did not answer, a part is not what a run writes, or the report cannot be
            written.
    """
    commit_log, run = open_output(output)
    require(run, output, *_READ)
    own = commit_log.owns(run)
    totals, log = read_log(commit_log, with_input_audio)
    setup = run.get("setup", {})
    timeline = log.timeline(setup, run.get("begins", ()))
    task = recorded_task(run)
    storage = commit_log.storage
    facts = read_rows(
        storage,
        totals.data,
        task.name,
        totals.trusted if own else None,
        totals.sizes,
        totals.ok,
        VerifyFacts.of(run),
    )
    bottleneck = find_bottleneck(timeline, setup) if timeline else None
    base = recorded_base(run)
    sources = [f"{base}/"] if base else run["input"]["sources"]
    gallery = Gallery(
        storage, sources, totals.addresses, task.output, task.columns,
        trusted=None if with_input_audio else totals.trusted if own else {},
        allow=recorded_allow(run) if own else (),
    )  # fmt: skip
    page = render(
        {
            "run": {"ended": None, "started": None, **run},
            "output": output,
            "task": task,
            "totals": totals,
            "rows_left": rows_of(run) + totals.added_rows - totals.ok - totals.errors,
            "headline": _headline(totals, timeline, facts),
            "timeline": timeline,
            "bottleneck": bottleneck,
            "histograms": histograms(facts, log),
            "facts": facts,
            "verification": verification(facts.verify, totals.kinds, timeline),
            "errors": _error_groups(storage, totals, output),
            "marks": _marks(totals),
            "retry": f"uniaudio2 retry {shlex.quote(output)}",
            "input_notes": [
                *map(str, map(LeftOut.of_record, run["input"].get("left_out", ()))),
                *run["input"].get("notes", ()),
            ],
            "columns_read": run["input"].get("columns_read"),
            "samples": gallery.samples(facts),
            "left_out": gallery.left_out,
            "with_input": f"uniaudio2 report {shlex.quote(output)} --with-input-audio",
            "config": json.dumps(run["config"], indent=2, sort_keys=True, ensure_ascii=False),
            "card": card_of(run["config"]["model"], own),
        }
    ).encode("utf-8", "backslashreplace")
    try:
        storage.put(REPORT, page)
    except OSError as fault:
        raise RunFailed(f"{output}/{REPORT} cannot be written: {fault}") from fault
    return Report(storage.uri(REPORT), bottleneck, _speed(totals, timeline), len(page))
