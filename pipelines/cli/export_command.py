"""``uniaudio2 export`` and ``uniaudio2 dedup``: what is made of results."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import typer

from pipelines.errors import RunFailed, UsageError
from uniaudio2.shown import MESSAGE_CHARACTERS, counted, shown
from uniaudio2.terminal import say

EXIT_SOME_SKIPPED = 3


def export(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="of a run, local or URL")],
    target: Annotated[str, typer.Argument(metavar="DST", help="folder to make, local or URL")],
    kind: Annotated[
        Literal[
            "pt",
            "huggingface",
            "webdataset",
            "lhotse",
            "shar",
            "nemo",
            "kaldi",
            "jsonl",
            "srt",
            "vtt",
            "ctm",
            "textgrid",
        ],
        typer.Option("--format", help="what to write"),
    ],
    copy_audio: Annotated[
        bool,
        typer.Option(
            "--copy-audio", help="copy input audio, too; generated audio is always copied"
        ),
    ] = False,
    with_input_audio: Annotated[
        bool,
        typer.Option(
            "--with-input-audio",
            help="use input audio wherever OUTPUT says it is, also where another made OUTPUT",
        ),
    ] = False,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="SQL",
            help='export rows for which this is true, such as "duration_s between 1 and 20"',
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            "--without",
            metavar="FILE",
            help="leave out the ids that a Parquet file lists, as `uniaudio2 dedup` writes them",
        ),
    ] = None,
) -> int:
    """Write a run's committed results in the format of another toolkit."""
    from actors.storage.file_systems import UnknownFileSystem
    from pipelines.config.own_addresses import check_place
    from pipelines.run_state.commit_log import open_output

    check_place("OUTPUT", output)
    check_place("DST", target)
    check_place("--without", without or "")
    open_output(output)  # a misspelt path is told before anything large is imported
    from pipelines.export.export import export_run

    try:
        result = export_run(output, target, kind, copy_audio, with_input_audio, where, without)
    except UnknownFileSystem as fault:
        raise UsageError(str(fault)) from fault
    except MemoryError as fault:
        raise RunFailed(
            "out of memory; run the same command with more memory to export again"
        ) from fault
    except OSError as fault:
        raise RunFailed(f"storage: {fault}; run the same command to export again") from fault
    others = f"; {counted(result.left_out, 'row')} left out" if where or without else ""
    say(f"{counted(result.rows, 'row')}: {target} ({kind}){others}")
    if result.altered:
        ids = ", ".join(shown(one, 80) for one in result.altered_ids)
        say(f"{counted(result.altered, 'row')} whose texts some readers of {kind} change: {ids}")
    for reason, count in sorted(result.skipped.items()):
        say(f"skipped {reason}: {count}")
    for example in result.examples:
        say(f"  {shown(example, MESSAGE_CHARACTERS)}")
    return EXIT_SOME_SKIPPED if result.skipped else 0


def dedup(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="of a run, local or URL")],
    target: Annotated[
        str, typer.Argument(metavar="FILE", help="Parquet file to write, local or URL")
    ],
    threshold: Annotated[
        float, typer.Option(help="similarity of codes from which two are near duplicates")
    ] = 0.5,
    recall: Annotated[
        float, typer.Option(help="share of pairs at the threshold that is found")
    ] = 0.99,
    codebooks: Annotated[
        int, typer.Option(help="how many of the 8 codebooks tell frames apart")
    ] = 1,
) -> int:
    """Find results that are there twice, or nearly so, by their reasoning codes."""
    from actors.storage.file_systems import UnknownFileSystem
    from pipelines.config.own_addresses import check_place
    from pipelines.dedup.dedup import dedup_run

    check_place("OUTPUT", output)
    check_place("FILE", target)
    try:
        result = dedup_run(output, target, threshold, recall, codebooks)
    except UnknownFileSystem as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise RunFailed(f"storage: {fault}; run the same command again") from fault
    say(f"{counted(result.rows, 'row')}: {result.exact} exact and {result.near} near duplicates")
    for count, what in (
        (result.without_codes, "without codes"), (result.unreadable, "whose codes cannot be read"),
    ):  # fmt: skip
        if count:
            say(f"not compared: {counted(count, 'row')} {what}")
    say(
        f"next: uniaudio2 export {shlex.quote(output)} DST --format … --without "
        f"{shlex.quote(target)}"
    )
    return EXIT_SOME_SKIPPED if result.unreadable else 0
