"""The command line, ``uniaudio2 COMMAND``: one function a command, or one module."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Literal

import typer
from typer.exceptions import Abort, TyperException

from pipelines.cli.arguments import EXIT_FAILED, EXIT_USAGE, open_address, versions
from pipelines.cli.checks.warm_command import warm
from pipelines.cli.doctor import doctor
from pipelines.cli.export_command import dedup, export
from pipelines.cli.run_command import plan, retry, run
from pipelines.cli.show_command import show
from pipelines.cli.status_command import status
from pipelines.errors import TELLERS, RunFailed, UsageError
from uniaudio2.checkpoint.folders import DEFAULT_MODEL, card_entry, model_folder
from uniaudio2.shown import plain_words
from uniaudio2.terminal import print_libraries_too, say, say_json

DEMO_OUTPUT = "demo-output"


app = typer.Typer(
    add_completion=False,
    invoke_without_command=True,
    help="Bulk tokenization, transcription and speech generation with UniAudio 2.0.",
)


@app.callback()
def begin(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="print the version, and those of what it runs on")
    ] = False,
) -> int | None:
    """Bulk tokenization, transcription and speech generation with UniAudio 2.0."""
    if version:
        say(versions())
        raise typer.Exit
    if context.invoked_subcommand is None:
        if text := context.get_help():  # nothing where typer has printed it itself
            say(text, lines=True)
        raise typer.Exit
    return None


app.command()(run)
app.command()(plan)
app.command()(retry)


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
    from pipelines.run_state.commit_log import open_output

    open_output(output)  # a misspelt path is told before anything large is imported
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
    model: Annotated[
        str, typer.Option(help="mark what this model, bundled or a folder, was trained for")
    ] = DEFAULT_MODEL,
) -> int:
    """List the tasks: what each reads, its layout, what it yields and is limited to."""
    from pipelines.cli.views.listing import show_task, show_tasks
    from pipelines.config.asked import find_task
    from pipelines.config.places import check_is_there
    from uniaudio2.tasks.table import TASKS

    if task is None:
        check_is_there(model)
        show_tasks(TASKS.values(), card_entry(model_folder(model), "Tasks"), model)
    else:
        show_task(find_task(task))
    return 0


@app.command()
def settings(
    task: Annotated[str | None, typer.Argument(help="those that a task uses alone")] = None,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="as a file for --config to start from")
    ] = False,
) -> int:
    """List every setting with its default, its meaning and its unit."""
    from pipelines.cli.views import settings as view
    from pipelines.config.asked import find_task

    asked = None if task is None else find_task(task)
    if as_yaml:
        say(view.as_yaml(asked), lines=True)
    else:
        view.show_settings(asked)
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
    from pipelines.config.places import check_is_there

    check_is_there(source)  # before anything large is imported
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
app.command()(show)
app.command()(export)
app.command()(dedup)
app.command()(warm)
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
    message = plain_words(" ".join(message.split()))
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
