"""The summary at the end of a run: counts, speed, bottleneck, paths, and the next command."""

from __future__ import annotations

import shlex
from typing import Any

from pipelines.jobs.result import RunResult
from pipelines.progress.live_view import format_duration
from uniaudio2.shown import MESSAGE_CHARACTERS, shown


def closing_facts(result: RunResult) -> dict[str, Any]:
    """The summary as JSON facts, for ``--json``."""
    report = result.report
    limit = report.bottleneck if report else None
    facts: dict[str, Any] = {
        **vars(result.counts),
        "elapsed_s": result.elapsed_s,
        "output": result.output,
        "report": report.path if report else None,
        "bottleneck": {"stage": limit.stage, "setting": limit.setting} if limit else None,
        "next": next_command(result),
    }
    if result.tried is not None:
        facts |= {"tried": result.tried, "mended": result.mended}
    return facts


def next_command(result: RunResult) -> str | None:
    """The command to run next; None when no row failed."""
    return f"uniaudio2 retry {shlex.quote(result.output)}" if result.counts.errors else None


def closing_lines(result: RunResult) -> str:
    """The summary as lines of text."""
    counts = result.counts
    audio = [
        f"{format_duration(seconds)} of audio {what}"
        for seconds, what in ((counts.input_s, "read"), (counts.output_s, "written"))
        if seconds
    ]
    lines = []
    if result.tried is not None:
        still = result.tried - result.mended
        lines.append(f"retried: {result.tried} rows, {result.mended} succeed now, {still} do not")
    lines.append(
        f"done: {counts.ok} rows, {counts.errors} errors"
        + "".join(f", {part}" for part in audio)
        + f", {format_duration(result.elapsed_s)}"
    )
    if result.report and result.report.bottleneck:
        lines.append(f"speed:   {result.report.speed}")
        lines.append(f"limit:   {result.report.bottleneck.words}")
    lines.append(f"results: {result.output}/data")
    if result.report:
        lines.append(f"report:  {result.report.path}")
    if counts.marks:
        marks = ", ".join(f"{count} {mark}" for mark, count in counts.marks.most_common())
        lines.append(f"marked:  {marks} (columns of the results)")
    if counts.errors:
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.kinds.most_common(5))
        lines.append(f"errors:  {result.output}/errors ({kinds})")
        lines.append(f"next:    fix their cause, then {next_command(result)}")
    return "\n".join(shown(line, MESSAGE_CHARACTERS) for line in lines)
