"""``uniaudio2 run``, ``plan`` and ``retry``: what they take, and what they say at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.arguments import (
    BEGUN_S,
    ConfigOption,
    ExecutorOption,
    FormatOption,
    InputArgument,
    KeepWarmOption,
    LimitOption,
    MapsOption,
    ModelOption,
    OutputArgument,
    SeedOption,
    SetsOption,
    TaskArgument,
    UntilOption,
    open_address,
)
from pipelines.cli.checks.warm_command import seconds_of
from pipelines.errors import UsageError
from uniaudio2.terminal import say, say_json

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig
    from pipelines.forecast.forecast import Asked
    from pipelines.jobs.result import RunResult
    from pipelines.progress.progress import Style


def run(
    task: TaskArgument,
    source: InputArgument,
    output: OutputArgument,
    model: ModelOption = None,
    config: ConfigOption = None,
    sets: SetsOption = None,
    maps: MapsOption = None,
    format_: FormatOption = None,
    limit: LimitOption = None,
    removed: Annotated[
        str | None,
        typer.Option(
            metavar="keep|withdraw", help="results whose rows INPUT no longer has stay, or go"
        ),
    ] = None,
    until: UntilOption = None,
    seed: SeedOption = None,
    max_errors: Annotated[
        str | None,
        typer.Option(help="stop when more rows have failed: a number, or a share like 5%"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="remove former results first")] = False,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join")] = None,
    keep_warm: KeepWarmOption = None,
    executor: ExecutorOption = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="serve Prometheus metrics of the run; 0: a free port"),
    ] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="interface of these [default: 127.0.0.1]"),
    ] = None,
    detached: Annotated[
        bool, typer.Option("--detach", help="as a job of the cluster at --address; returns at once")
    ] = False,
    working_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="with --detach: a folder to send along")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only tell what it would take: `uniaudio2 plan`")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print only errors")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON lines")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="let Ray print, too")] = False,
) -> int:
    """Run TASK over INPUT into OUTPUT; the same command again goes on where it stopped."""
    from pipelines.config.places import check_places
    from pipelines.executor.process.early import begun_early

    given = {
        "task": task, "input": source, "output": output, "model": model, "limit": limit,
        "removed": removed,
        "until": until, "seed": seed, "address": None if detached else address,
        "max_errors": max_errors, "executor": executor, "keep_warm_s": seconds_of(keep_warm),
        "metrics_port": metrics_port, "metrics_host": metrics_host,
    }  # fmt: skip
    job = _job_of(given, config, sets, maps, format_)
    style = _style(quiet, as_json, verbose)
    if dry_run and (detached or fresh):
        raise UsageError("--dry-run looks at what is there: leave out --detach and --fresh")
    if detached:
        return _detach(job, address, config, working_dir, style)
    if working_dir is not None:
        raise UsageError("--working-dir is sent along with a job: give --detach, too")
    check_places(job)
    if dry_run:
        return tell_plan(job, as_json=as_json)
    with begun_early(job, verbose):
        from pipelines.jobs.run import run_job  # what is misspelt has been told by now

        return _close(run_job(job, style, fresh, verbose=verbose), style)


def plan(
    task: TaskArgument,
    source: InputArgument,
    output: OutputArgument,
    model: ModelOption = None,
    config: ConfigOption = None,
    sets: SetsOption = None,
    maps: MapsOption = None,
    format_: FormatOption = None,
    limit: LimitOption = None,
    until: UntilOption = None,
    seed: SeedOption = None,
    executor: ExecutorOption = None,
    probe_rows: Annotated[
        int | None, typer.Option(min=1, help="rows that are tried [default: 64]")
    ] = None,
    cpus: Annotated[
        float | None, typer.Option(min=0.1, help="of the cluster it is for [default: this machine]")
    ] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="likewise")] = None,
    price_gpu_hour: Annotated[
        float | None, typer.Option(min=0, help="of one GPU, in any currency")
    ] = None,
    price_cpu_hour: Annotated[float | None, typer.Option(min=0, help="of one CPU")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> int:
    """Tell what `run` would do, take and cost: some rows are tried, and OUTPUT is not touched."""
    from pipelines.config.places import check_places

    given = {
        "task": task, "input": source, "output": output, "model": model, "limit": limit,
        "until": until, "seed": seed, "executor": executor,
    }  # fmt: skip
    job = _job_of(given, config, sets, maps, format_)
    check_places(job)

    from pipelines.forecast.figures import Prices
    from pipelines.forecast.forecast import PROBE_ROWS, Asked

    prices = Prices(price_gpu_hour, price_cpu_hour)
    return tell_plan(job, Asked(probe_rows or PROBE_ROWS, cpus, gpus, prices), as_json)


def _job_of(
    given: dict[str, Any],
    config: str | None,
    sets: list[str] | None,
    maps: list[str] | None,
    format_: str | None,
) -> JobConfig:
    """The job that options describe; `given` are those that are settings by themselves."""
    from pipelines.config.make_job import make_job

    more = (f"manifest.format={format_}",) if format_ else ()
    return make_job(given, config, (*(sets or ()), *more), maps=tuple(maps or ()))


def tell_plan(job: JobConfig, asked: Asked | None = None, as_json: bool = False) -> int:
    """Print a forecast.

    Args:
        job: of the run.
        asked: of the probe; None takes the defaults.
        as_json: as one JSON object.
    """
    from pipelines.cli.views.forecast import forecast_lines
    from pipelines.forecast.forecast import forecast_job

    found = forecast_job(job, asked)
    if as_json:
        say_json(found.facts())
    else:
        say(forecast_lines(found), lines=True)
    return 0


def _detach(
    job: JobConfig, address: str | None, config: str | None, working_dir: str | None, style: Style
) -> int:
    from pipelines.job_server.detach import detach

    sent = detach(job, sys.argv[1:], address or job.address, config, working_dir)
    if style == "json":
        facts = {"job": sent.job.job_id, "server": sent.job.server, "output": job.output}
        say_json({"event": "submitted", **facts, "follow": sent.follow, "stop": sent.stop})
    elif style != "quiet":
        say(f"job     {sent.job.job_id} at {sent.job.server}")
        say(f"follow  {sent.follow}")
        say(f"stop    {sent.stop}")
    return 0


def _style(quiet: bool, as_json: bool, verbose: bool) -> Style:
    """Choose the style of a run's output: a live view where nothing else prints to the terminal."""
    if quiet or as_json:
        return "quiet" if quiet else "json"
    return "live" if sys.stdout.isatty() and not verbose else "lines"


def _close(result: RunResult, style: Style) -> int:
    from pipelines.cli.views.closing import closing_facts, closing_lines, is_small
    from pipelines.cli.views.rows import show_first

    if style == "json":
        facts = closing_facts(result)
        say_json({"event": "end", "exit_code": result.exit_code, **facts})
    elif style != "quiet":
        if is_small(result):
            show_first(result.output)
        say(closing_lines(result, time.monotonic() - BEGUN_S), lines=True)
    return result.exit_code


def retry(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", callback=open_address)],
    only: Annotated[
        str | None, typer.Option(metavar="KIND", help="only rows that failed with this kind")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="a setting to change, such as load.max_bytes=8000000000"),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join")] = None,
    executor: ExecutorOption = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="read what OUTPUT names, though another user or machine made it"
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print only errors")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON lines")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="let Ray print, too")] = False,
) -> int:
    """Run the rows of the errors table again; those that succeed leave it."""
    from pipelines.run_state.commit_log import open_output

    open_output(output)  # a misspelt path is told before anything large is imported
    from pipelines.jobs.retry import recorded_job, retry_job

    job = recorded_job(output, tuple(sets or ()), address, yes, executor)
    style = _style(quiet, as_json, verbose)
    return _close(retry_job(job, only, style, verbose=verbose), style)
