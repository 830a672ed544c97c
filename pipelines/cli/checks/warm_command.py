"""``uniaudio2 warm``: the workers that runs have left on a cluster, and their end."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from pipelines.errors import UsageError
from uniaudio2.shown import counted, quoted, shown
from uniaudio2.terminal import say, say_json

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds_of(text: str | None) -> float | None:
    """A time such as ``90s``, ``10m`` or ``1.5h`` in seconds.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UsageError(f"--keep-warm {quoted(text)} must be a time such as 90s, 10m or 2h")
    return float(found[1]) * _UNITS_S[found[2]]


def warm(
    address: Annotated[str, typer.Option(help="Ray cluster to look at")],
    end: Annotated[bool, typer.Option("--end", help="end the idle ones that are yours")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON line for each")] = False,
) -> int:
    """Show the workers that runs with --keep-warm have left on a cluster, or end them."""
    from pipelines.config.own_addresses import check_place
    from pipelines.executor.cluster import start_ray
    from pipelines.executor.pools import warm_actors

    check_place("address", address)
    start_ray(address)
    if end:
        count = warm_actors.end()
        if as_json:
            say_json({"event": "ended", "workers": count})
        else:
            say(f"ended {counted(count, 'worker')}")
        return 0
    found = [facts for _, facts in warm_actors.warm_actors()]
    for facts in found:
        if as_json:
            say_json({"event": "warm", **facts})
            continue
        left_s = facts["ends_in_s"]
        state = "at work" if left_s is None else f"idle, ends in {left_s:.0f} s"
        say(
            f"{shown(facts['stage']):9} {shown(facts['model'])}  {state}; "
            f"{counted(facts['runs'], 'run')}, {counted(facts['calls'], 'unit')}; "
            f"of {shown(facts['owner'])}"
        )
    if not found and not as_json:
        say("no workers are kept warm there; a run leaves them with --address and --keep-warm 10m")
    return 0
