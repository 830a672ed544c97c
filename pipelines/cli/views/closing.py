"""The summary at the end of a run: counts, speed, bottleneck, paths, and the next command."""

from __future__ import annotations

import shlex
from typing import Any

from actors.batch.names import MADE_AGAIN, UNVERIFIED, VERIFIED
from actors.batch.schema import CUT_SHORT, VERDICTS
from pipelines.executor.process.early import FEW_ROWS
from pipelines.jobs.result import RunResult
from pipelines.progress.live_view import format_duration
from pipelines.run_state.counts import Counts
from uniaudio2.shown import MESSAGE_CHARACTERS, counted, shown


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


def closing_lines(result: RunResult, waited_s: float | None = None) -> str:
    """The summary as lines of text: how long one has waited comes first, and what limits a run is
    told where there was enough of it to tell.

    Args:
        result: of the run.
        waited_s: since the command was given; None counts the run alone.
    """
    counts = result.counts
    waited_s = result.elapsed_s if waited_s is None else waited_s
    audio = [
        f"{format_duration(seconds)} of audio {what}"
        for seconds, what in ((counts.input_s, "read"), (counts.output_s, "written"))
        if seconds
    ]
    lines = []
    if result.tried is not None:
        still = result.tried - result.mended
        tried = counted(result.tried, "row")
        lines.append(f"retried: {tried}, {result.mended} succeed now, {still} do not")
    done = [counted(counts.ok, "row"), counted(counts.errors, "error"), *audio]
    lines.append(f"done:    in {format_duration(waited_s)}: {', '.join(done)}")
    if is_worth_telling(result):
        report = result.report
        lines.append(f"speed:   {report.speed}")  # type: ignore[union-attr] # it has a bottleneck
        lines.append(f"limit:   {report.bottleneck.words}")  # type: ignore[union-attr] # as above
    lines.append(f"results: {result.output}/data")
    if result.report:
        lines.append(f"report:  {result.report.path}")
    if cut := counts.marks[CUT_SHORT]:
        ended = f"{counted(cut, 'answer')} ended at a limit, speech or text may be missing"
        lines.append(f"cut:     {ended} (finish_reason is length); raise sampling.max_frames")
    told = {CUT_SHORT, *VERDICTS}
    if line := _verified(counts):
        lines.append(line)
    if columns := [one for one in counts.marks.most_common() if one[0] not in told]:
        marks = ", ".join(f"{count} {mark}" for mark, count in columns)
        lines.append(f"marked:  {marks} (columns of the results)")
    if counts.errors:
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.kinds.most_common(5))
        lines.append(f"errors:  {result.output}/errors ({kinds})")
        lines.append(f"next:    fix their cause, then {next_command(result)}")
    elif is_small(result):
        lines.append(f"next:    uniaudio2 show {shlex.quote(result.output)} [ID]")
    return "\n".join(shown(line, MESSAGE_CHARACTERS) for line in lines)


def _verified(counts: Counts) -> str:
    """How many rows keep the rule of the job; "" where it has none."""
    kept, left = counts.marks[VERIFIED], counts.marks[UNVERIFIED] + counts.kinds[UNVERIFIED]
    if not kept + left:
        return ""
    kept_of = f"{kept} of {counted(kept + left, 'row')} keep it ({kept / (kept + left):.1%})"
    return f"rule:    {kept_of}; made again: {counts.marks[MADE_AGAIN] + counts.kinds[UNVERIFIED]}"


def is_small(result: RunResult) -> bool:
    """Whether a run is one whose results are shown at its end."""
    return 0 < result.counts.ok + result.counts.errors <= FEW_ROWS


def is_worth_telling(result: RunResult) -> bool:
    """Whether there was enough of a run to tell what limits it."""
    has_limit = result.report is not None and result.report.bottleneck is not None
    return has_limit and not is_small(result)
