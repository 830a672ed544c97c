"""``uniaudio2 run`` and ``uniaudio2 retry``: what they take, and what they say at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import BEGUN_S, ExecutorOption, KeepWarmOption, open_address
from pipelines.cli.checks.warm_command import seconds_of
from pipelines.errors import UsageError
from uniaudio2.checkpoint.folders import DEFAULT_MODEL
from uniaudio2.terminal import say, say_json

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig
    from pipelines.jobs.result import RunResult
    from pipelines.progress.progress import Style


def run(
    task: Annotated[
        str, typer.Argument(help="what to do: one of `uniaudio2 tasks`, or a YAML file of your own")
    ],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="manifest or folder, local or URL")
    ],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder, local or URL")],
    model: Annotated[
        str | None,
        typer.Option(help=f"bundled model, model folder or URL of one [default: {DEFAULT_MODEL}]"),
    ] = None,
    config: Annotated[str | None, typer.Option(help="YAML file of settings")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="one setting, dotted: sampling.top_k=20; `uniaudio2 settings` lists them"
        ),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=COLUMN",
            help="a column of INPUT by the name that is read: audio=path (repeatable)",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="paths", help="the lines of INPUT are paths of audio"),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="use only the first rows")] = None,
    removed: Annotated[
        str | None,
        typer.Option(
            metavar="keep|withdraw", help="results whose rows INPUT no longer has stay, or go"
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="encode|generate|decode", help="stop after this stage and keep its codes"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="seed of every random draw [default: 0]")] = None,
    max_errors: Annotated[
        str | None,
        typer.Option(help="stop when more rows have failed: a number, or a share like 5%"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="remove former results first")] = False,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join")] = None,
    keep_warm: KeepWarmOption = None,
    executor: ExecutorOption = None,
    detached: Annotated[
        bool, typer.Option("--detach", help="as a job of the cluster at --address; returns at once")
    ] = False,
    working_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="with --detach: a folder to send along")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print only errors")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON lines")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="let Ray print, too")] = False,
) -> int:
    """Run TASK over INPUT into OUTPUT; the same command again goes on where it stopped."""
    from pipelines.config.make_job import make_job
    from pipelines.config.places import check_places
    from pipelines.executor.process.early import begun_early

    given = {
        "task": task, "input": source, "output": output, "model": model, "limit": limit,
        "removed": removed,
        "until": until, "seed": seed, "address": None if detached else address,
        "max_errors": max_errors, "executor": executor, "keep_warm_s": seconds_of(keep_warm),
    }  # fmt: skip
    sets = [*(sets or ()), *([f"manifest.format={format_}"] if format_ else ())]
    job = make_job(given, config, tuple(sets), maps=tuple(maps or ()))
    style = _style(quiet, as_json, verbose)
    if detached:
        return _detach(job, address, config, working_dir, style)
    if working_dir is not None:
        raise UsageError("--working-dir is sent along with a job: give --detach, too")
    check_places(job)
    with begun_early(job, verbose):
        from pipelines.jobs.run import run_job  # what is misspelt has been told by now

        return _close(run_job(job, style, fresh, verbose=verbose), style)


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
