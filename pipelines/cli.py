"""The command line, ``uniaudio2 COMMAND``: one function a command, or one module."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer
from typer.exceptions import Abort, TyperException

from pipelines.doctor import doctor
from pipelines.errors import RunFailed, UsageError
from pipelines.export_command import export

if TYPE_CHECKING:
    from pipelines.progress import Style
    from pipelines.run import RunResult

EXIT_FAILED, EXIT_USAGE = 1, 2
DEMO_OUTPUT = "demo-output"
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bulk tokenization, transcription and speech generation with UniAudio 2.0.",
)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


@app.command()
def run(
    task: Annotated[str, typer.Argument(help="what to do; `uniaudio2 tasks` lists them")],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="manifest or folder, local or URL")
    ],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder, local or URL")],
    model: Annotated[Optional[str], typer.Option(help="bundled model or model folder")] = None,
    config: Annotated[Optional[str], typer.Option(help="YAML file of settings")] = None,
    sets: Annotated[
        Optional[list[str]],
        typer.Option("--set", help="one setting, dotted: sampling.top_k=20"),
    ] = None,
    limit: Annotated[Optional[int], typer.Option(help="use the first rows alone")] = None,
    seed: Annotated[Optional[int], typer.Option(help="seed of every random draw")] = None,
    max_errors: Annotated[
        Optional[str],
        typer.Option(help="stop when more rows have failed: a number, or a share like 5%"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="remove former results first")] = False,
    address: Annotated[Optional[str], typer.Option(help="Ray cluster to join")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print errors alone")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON lines")] = False,
) -> int:
    """Run TASK over INPUT into OUTPUT; the same command again goes on where it stopped."""
    from pipelines.config import make_job
    from pipelines.run import run_job

    given = {
        "task": task, "input": source, "output": output, "model": model, "limit": limit,
        "seed": seed, "address": address,
        "max_errors": max_errors,
    }  # fmt: skip
    job = make_job(given, config, tuple(sets or ()))
    style: Style = "quiet" if quiet else "json" if as_json else "lines"
    result = run_job(job, style, fresh)
    if style == "json":
        facts = {**vars(result.counts), "elapsed_s": result.elapsed_s, "output": result.output}
        _print(json.dumps({"event": "end", "exit_code": result.exit_code, **facts}))
    elif style == "lines":
        _print(summary(result))
    return result.exit_code


def summary(result: RunResult) -> str:
    """The closing lines of a run."""
    counts = result.counts
    audio = [
        f"{seconds:.1f} s of audio {what}"
        for seconds, what in ((counts.input_s, "read"), (counts.output_s, "written"))
        if seconds
    ]
    lines = [
        f"done: {counts.ok} rows, {counts.errors} errors"
        + "".join(f", {part}" for part in audio)
        + f", {result.elapsed_s:.1f} s",
        f"results: {result.output}/data",
    ]
    if counts.errors:
        lines.append(f"errors:  {result.output}/errors ({counts.errors} rows)")
    return "\n".join(lines)


@app.command()
def tasks() -> int:
    """List the tasks: what each reads, yields and is limited to."""
    from rich.console import Console
    from rich.table import Table

    from uniaudio2.tasks import TASKS

    table = Table("task", "reads", "yields", "limit", "what it does", box=None, pad_edge=False)
    for task in TASKS.values():
        limit = f"{task.max_frames} frames" if "generate" in task.stages else ""
        names = ", ".join([task.name, *task.aliases])
        table.add_row(names, ", ".join(task.columns), task.output, limit, task.summary)
    Console().print(table)
    return 0


@app.command()
def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="read every committed object again and compare")
    ] = False,
) -> int:
    """Tell what is committed, failed and left, from storage alone."""
    from pipelines import status as state

    facts = state.read_status(output)
    problems = state.verify(output) if verify else []
    code = EXIT_FAILED if problems else 0
    if as_json:
        _print(json.dumps({**asdict(facts), "left": facts.left, "problems": problems}))
        return code
    _print(f"{facts.task} with {facts.model}: {facts.state}")
    _print(f"rows   {facts.ok} done, {facts.errors} errors, {facts.left} left of {facts.rows}")
    _print(f"units  {facts.units_done} of {facts.units}")
    _print(f"audio  {facts.input_s:.1f} s read, {facts.output_s:.1f} s written")
    for kind, count in sorted(facts.kinds.items()):
        _print(f"error  {kind}: {count}")
    if verify and not problems:
        _print("verify every committed object is as its record says")
    for problem in problems:
        _print(f"verify {problem}")
    return code


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="published checkpoint folder")],
    target: Annotated[str, typer.Argument(metavar="DST", help="model folder to make")],
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="of the language model's weights")
    ] = "float32",
    ignore: Annotated[
        Optional[list[str]],
        typer.Option(help="beginning of tensor names that may be left out (repeatable)"),
    ] = None,
) -> int:
    """Turn a published UniAudio2 checkpoint folder into a model folder of ours."""
    from pipelines.convert import convert_model

    config = convert_model(source, target, dtype, ignore or [])
    _print(f"made {config.fingerprint}: {target}")
    return 0


@app.command()
def inspect(model: Annotated[str, typer.Argument(help="bundled model or folder")]) -> int:
    """Show a model's parameters, ids, limits and fingerprint; of a published folder, its files."""
    from pipelines.inspect import describe

    _print(describe(model))
    return 0


@app.command()
def demo(
    output: Annotated[str, typer.Argument(metavar="[OUTPUT]")] = DEMO_OUTPUT,
) -> int:
    """Run the bundled examples through every kind of task and show what came out."""
    from pipelines.demo import run_demo

    return run_demo(output)


app.command()(export)
app.command()(doctor)


def main() -> None:
    """Entry point: maps every outcome to its exit code and every error to one line."""
    try:
        code = app(standalone_mode=False)
    except (UsageError, TyperException) as fault:
        text = fault.format_message() if isinstance(fault, TyperException) else str(fault)
        sys.stderr.write("error: " + " ".join(text.split()) + "\n")
        code = EXIT_USAGE
    except (RunFailed, Abort, KeyboardInterrupt) as fault:
        sys.stderr.write(f"stopped: {fault or 'interrupted'}\n")
        code = EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)
