"""``uniaudio2 status``: the state of a run, from its OUTPUT alone."""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import EXIT_FAILED, open_address
from pipelines.errors import UsageError
from uniaudio2.shown import counted
from uniaudio2.terminal import say, say_json

if TYPE_CHECKING:
    from pipelines.progress.progress import Style

EXIT_LEFT = 130  # as shells have it of what Ctrl-C ended


def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", callback=open_address)],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="read every committed object again and compare")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="show it until the run ends, wherever it is driven"),
    ] = False,
) -> int:
    """Tell what is committed, failed and left, from storage alone."""
    from pipelines.run_state import status as state

    if follow and verify:
        raise UsageError("--verify is for what does not change any more; follow the run first")
    ended = _followed(output, as_json) if follow else 0
    if follow and (as_json or ended == EXIT_LEFT):
        return ended
    facts = state.read_status(output)
    problems = state.verify(output) if verify else []
    code = EXIT_FAILED if problems else 0
    if as_json:
        say_json({**asdict(facts), "left": facts.left, "problems": problems})
        return code
    say(f"{facts.task} with {facts.model}: {facts.state}")
    say(f"rows   {facts.ok} done, {facts.errors} errors, {facts.left} left of {facts.rows}")
    if facts.later_files:
        say(f"input  {counted(facts.later_files, 'more file')} whose rows are not planned yet")
    say(f"units  {facts.units_done} of {facts.units}")
    say(f"audio  {facts.input_s:.1f} s read, {facts.output_s:.1f} s written")
    for mark, count in sorted(facts.marks.items()):
        say(f"marked {mark}: {count}")
    for kind, count in sorted(facts.kinds.items()):
        say(f"error  {kind}: {count}")
    if facts.kinds:
        say(f"next   uniaudio2 retry {shlex.quote(output)}")
    if verify and not problems:
        say("verify every committed object matches its record")
    for problem in problems:
        say(f"verify {problem}")
    return code or ended


def _followed(output: str, as_json: bool) -> int:
    """Follow a run to its end, or until the user has seen enough."""
    from pipelines.progress.follow import follow

    asked: list[int] = []

    def leave(number: int, _frame: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, leave)
    style: Style = "json" if as_json else "live" if sys.stdout.isatty() else "lines"
    try:
        return follow(output, style, is_left=lambda: bool(asked))
    except KeyboardInterrupt:
        say("left; the run goes on", error=True)
        return EXIT_LEFT
