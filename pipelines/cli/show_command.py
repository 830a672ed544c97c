"""``uniaudio2 show``: rows of a run's results, to read and to hear."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import open_address
from pipelines.errors import UsageError
from uniaudio2.shown import quoted
from uniaudio2.terminal import say

if TYPE_CHECKING:
    from pipelines.cli.views.rows import Row

_PLAYERS = (
    "ffplay -nodisp -autoexit -loglevel quiet", "afplay", "paplay", "pw-play", "play -q",
)  # fmt: skip
_MOST_S = 3600.0


def show(
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="of a run, local or URL", callback=open_address)
    ],
    row_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="one row in full; without, the first ones")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="rows of the table")] = 20,
    play: Annotated[
        bool, typer.Option("--play", help="play what was made, too, where there is a player")
    ] = False,
) -> int:
    """Print rows of a run: texts, spans, tokens as small pictures, paths of sounds."""
    from pipelines.run_state.commit_log import open_output

    open_output(output)  # a misspelt path is told before anything large is imported
    from pipelines.cli.views.rows import find_row, rows_of, show_first, show_row

    if row_id is None:
        if not show_first(output, limit):
            say("no row is committed yet")
        row = next((row for row in rows_of(output) if row.sounds), None) if play else None
    else:
        row = find_row(output, row_id)
        if row is None:
            raise UsageError(
                f"{output} has no row {quoted(row_id)}; `uniaudio2 show {shlex.quote(output)}` "
                "lists the first ones"
            )
        show_row(output, row)
    if play:
        _play(output, row)
    return 0


def _play(output: str, row: Row | None) -> None:
    """Play the sounds of a row from copies: a store has no files, and a link is not followed.

    Raises:
        UsageError: there is no sound, or no player.
    """
    from actors.storage.audio_files import read_sound
    from actors.storage.object_store import Storage
    from uniaudio2.errors import BadRow

    if row is None or not row.sounds:
        raise UsageError("--play: no sound was made here; tasks that yield audio make some")
    player = next((p for p in _PLAYERS if shutil.which(p.partition(" ")[0])), None)
    if player is None:
        names = ", ".join(one.partition(" ")[0] for one in _PLAYERS)
        raise UsageError(f"--play needs one of {names} on PATH; install one, or open the path")
    for path in row.sounds:
        try:
            data = read_sound(Storage(output), path)
        except BadRow as fault:
            raise UsageError(f"--play: {fault.message}") from fault
        with tempfile.NamedTemporaryFile(suffix="." + path.rpartition(".")[2][:4]) as copy:
            copy.write(data)
            copy.flush()
            words = [*player.split(), copy.name]
            subprocess.run(words, check=False, timeout=_MOST_S)  # noqa: S603 - one of our list
