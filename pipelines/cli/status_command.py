"""``uniaudio2 status``: the state of a run, from its OUTPUT alone."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.cli.arguments import EXIT_FAILED, open_address
from uniaudio2.terminal import say, say_json


def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", callback=open_address)],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="read every committed object again and compare")
    ] = False,
) -> int:
    """Tell what is committed, failed and left, from storage alone."""
    from pipelines.run_state import status as state

    facts = state.read_status(output)
    problems = state.verify(output) if verify else []
    code = EXIT_FAILED if problems else 0
    if as_json:
        say_json({**asdict(facts), "left": facts.left, "problems": problems})
        return code
    say(f"{facts.task} with {facts.model}: {facts.state}")
    say(f"rows   {facts.ok} done, {facts.errors} errors, {facts.left} left of {facts.rows}")
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
    return code
