"""The command line, ``uniaudio2 COMMAND``: one function a command, or one module."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.exceptions import Abort, TyperException

from pipelines.cli.arguments import EXIT_FAILED, EXIT_USAGE, open_address
from pipelines.cli.doctor import doctor
from pipelines.cli.export_command import dedup, export
from pipelines.cli.status_command import status
from pipelines.errors import TELLERS, RunFailed, UsageError
from uniaudio2.terminal import print_libraries_too, say, say_json

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig
    from pipelines.jobs.result import RunResult
    from pipelines.progress.progress import Style

DEMO_OUTPUT = "demo-output"


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bulk tokenization, transcription and speech generation with UniAudio 2.0.",
)


@app.command()
def run(
    task: Annotated[
        str, typer.Argument(help="what to do: one of `uniaudio2 tasks`, or a YAML file of your own")
    ],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="manifest or folder, local or URL")
    ],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder, local or URL")],
    model: Annotated[str | None, typer.Option(help="bundled model or model folder")] = None,
    config: Annotated[str | None, typer.Option(help="YAML file of settings")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="one setting, dotted: sampling.top_k=20"),
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
        str | None, typer.Option(help="stop after this stage and keep its codes")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="seed of every random draw")] = None,
    max_errors: Annotated[
        str | None,
        typer.Option(help="stop when more rows have failed: a number, or a share like 5%"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="remove former results first")] = False,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join")] = None,
    executor: Annotated[
        str | None,
        typer.Option(metavar="ray|inline", help="inline: in this process, without Ray, to debug"),
    ] = None,
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
    from pipelines.config.job import make_job
    from pipelines.jobs.run import run_job

    given = {
        "task": task, "input": source, "output": output, "model": model, "limit": limit,
        "removed": removed,
        "until": until, "seed": seed, "address": None if detached else address,
        "max_errors": max_errors, "executor": executor,
    }  # fmt: skip
    sets = [*(sets or ()), *([f"manifest.format={format_}"] if format_ else ())]
    job = make_job(given, config, tuple(sets), maps=tuple(maps or ()))
    style = _style(quiet, as_json, verbose)
    if detached:
        return _detach(job, address, config, working_dir, style)
    if working_dir is not None:
        raise UsageError("--working-dir is sent along with a job: give --detach, too")
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
    from pipelines.cli.closing import closing_facts, closing_lines

    if style == "json":
        facts = closing_facts(result)
        say_json({"event": "end", "exit_code": result.exit_code, **facts})
    elif style != "quiet":
        say(closing_lines(result), lines=True)
    return result.exit_code


@app.command()
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
    executor: Annotated[
        str | None,
        typer.Option(metavar="ray|inline", help="inline: in this process, without Ray, to debug"),
    ] = None,
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
    from pipelines.jobs.retry import recorded_job, retry_job

    job = recorded_job(output, tuple(sets or ()), address, yes, executor)
    style = _style(quiet, as_json, verbose)
    return _close(retry_job(job, only, style, verbose=verbose), style)


@app.command()
def report(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", callback=open_address)],
    open_: Annotated[
        bool, typer.Option("--open", help="show it in the browser of this desktop, too")
    ] = False,
    with_input_audio: Annotated[
        bool,
        typer.Option(
            "--with-input-audio",
            help="read input audio wherever OUTPUT says it is, also where another made OUTPUT",
        ),
    ] = False,
) -> int:
    """Make report.html again, from storage alone, and print where it is."""
    from pipelines.report import write_report

    made = write_report(output, with_input_audio)
    say(made.path)
    # without a desktop, a browser would take over the terminal
    desktop = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"}.intersection(os.environ)
    if open_ and desktop and "://" not in made.path:
        import webbrowser

        webbrowser.open(f"file://{made.path}")
    return 0


@app.command()
def tasks(
    task: Annotated[
        str | None, typer.Argument(help="one task in full: a name, or a YAML file of your own")
    ] = None,
) -> int:
    """List the tasks: what each reads, its layout, what it yields and is limited to."""
    from pipelines.cli.listing import show_task, show_tasks
    from pipelines.config.prompts import find_task
    from uniaudio2.tasks.table import TASKS

    if task is None:
        show_tasks(TASKS.values())
    else:
        show_task(find_task(task))
    return 0


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="published checkpoint folder", callback=open_address),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="model folder to make", callback=open_address)
    ],
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="of the language model's weights")
    ] = "float32",
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="beginning of tensor names that may be left out (repeatable)"),
    ] = None,
    small_codec: Annotated[
        bool, typer.Option("--small-codec", help="take the codec of 1024 codes, and no LLM")
    ] = False,
) -> int:
    """Turn a published UniAudio2 checkpoint folder into a model folder of ours."""
    from pipelines.cli.convert import convert_model

    config = convert_model(source, target, dtype, ignore or [], small_codec)
    say(f"made {config.fingerprint}: {target}")
    return 0


@app.command()
def inspect(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|INPUT",
            help="bundled model or model folder; or a manifest or folder of rows",
            callback=open_address,
        ),
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="how INPUT is read: manifest.delimiter=;"),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=COLUMN", help="a column by the name that is read"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> int:
    """Show a model's parameters, ids, limits and fingerprint, or what is understood of an INPUT."""
    from pipelines.cli.inspect_input import is_input, show_input

    if is_input(source):
        show_input(source, tuple(sets or ()), tuple(maps or ()), as_json)
    elif sets or maps:
        raise UsageError(f"{source}: --set and --map are for an INPUT, and there is none")
    else:
        from pipelines.cli.inspect import describe, facts_of

        if as_json:
            say_json({"event": "model", "facts": facts_of(source)})
        else:
            say(describe(source), lines=True)
    return 0


@app.command()
def demo(
    output: Annotated[str, typer.Argument(metavar="[OUTPUT]", callback=open_address)] = DEMO_OUTPUT,
) -> int:
    """Run the bundled examples through every kind of task and show what came out."""
    from pipelines.cli.demo import run_demo

    return run_demo(output)


app.command()(status)
app.command()(export)
app.command()(dedup)
app.command()(doctor)


def _tell(fault: Exception) -> int:
    """Say what else ended a command, which may quote anything; returns its exit code."""
    from actors.storage.file_systems import UnknownFileSystem
    from actors.storage.object_store import is_storage_fault
    from pipelines.causes import STORAGE_READ, of_machine, reason, stopped
    from pipelines.jobs.signals import is_of_storage

    if isinstance(fault, UnknownFileSystem):
        return _end("error", str(fault))
    if is_storage_fault(fault) or is_of_storage(fault):
        return _stop(stopped(STORAGE_READ, reason(fault)))
    if isinstance(fault, OSError | MemoryError):
        return _stop(of_machine(fault))
    say("".join(traceback.format_exception(fault)).rstrip(), error=True, lines=True)  # of ours
    return _end("", "a mistake of this program; see the traceback", EXIT_FAILED)


def _stop(fault: RunFailed) -> int:
    """Say what stopped a run, and for machines which kind it is."""
    cause = fault.cause
    if cause is None:
        return _end("stopped", str(fault), EXIT_FAILED)
    facts: dict[str, str | bool] = {"cause": cause.key, "goes_on": cause.goes_on}
    return _end("stopped", str(fault), EXIT_FAILED, **facts)


def _end(event: str, message: str, code: int = EXIT_USAGE, **facts: str | bool) -> int:
    """Say in one line what ended a command, to machines as the last event; returns its code."""
    message = " ".join(message.split())
    if event:
        say(f"{event}: {message}", error=True)
    if "--json" in sys.argv[1:]:
        say_json({"event": event or "error", "message": message, **facts, "exit_code": code})
    return code


def main() -> None:
    """Entry point: maps every outcome to its exit code and every error to one line."""
    print_libraries_too()
    TELLERS.append(_stop)
    try:
        code = app(standalone_mode=False)
    except (UsageError, TyperException) as fault:
        text = fault.format_message() if isinstance(fault, TyperException) else str(fault)
        code = _end("error", text)
    except RunFailed as fault:
        code = _stop(fault)
    except (Abort, KeyboardInterrupt):
        code = _stop(RunFailed("interrupted"))
    except Exception as fault:
        code = _tell(fault)
    sys.exit(code if isinstance(code, int) else 0)
