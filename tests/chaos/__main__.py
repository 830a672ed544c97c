"""``python -m tests.chaos``: many kills and a bad network, and a table of what it cost."""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.jobs import ROOT, Job, Result, Stand
from tests.chaos.kills import KINDS, Account, Kind, Ordeal, run_clean

_HEADINGS = (
    "kill", "kills wanted", "kills that hit", "jobs", "rows", "lost", "doubled", "different",
    "given up", "left over", "units written again", "storage faults", "of these lost PUT answers",
    "starts", "seconds",
)  # fmt: skip

# share of the time that is used up when a kind of kill ends
_SHARES: dict[Kind, float] = {"driver": 0.5, "actor": 0.65, "worker": 0.8, "node": 1.0}


def parse() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds-driver", type=int, default=50, metavar="N")
    parser.add_argument("--rounds-other", type=int, default=20, metavar="N")
    parser.add_argument("--rows", type=int, default=240, help="rows of a job")
    parser.add_argument("--fault-rate", type=float, default=0.10, metavar="P")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="no kill comes later; jobs still end in order"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind alone")
    parser.add_argument("--out", type=Path, metavar="RESULTS.md")
    return parser.parse_args()


def put_through(
    stand: Stand, kind: Kind, rounds: int, rows: int, clean: dict[Job, Result],
    dice: random.Random, until: float,
) -> list[Account]:  # fmt: skip
    """Run jobs of both tasks in turn until a kind of kill has hit `rounds` times, or time is up."""
    jobs = (Job("tts", rows), Job("reconstruct", rows))
    accounts: list[Account] = []
    left = rounds
    while left > 0 and (not accounts or time.monotonic() < until):
        job = jobs[len(accounts) % 2]
        if job not in clean:
            clean[job] = run_clean(stand, job)
        share = -(-rounds // 2) if not accounts else left
        account = Ordeal(stand, job, kind, min(share, left), dice, until).endure(clean[job])
        accounts.append(account)
        left -= account.kills
        verdict = account.verdict
        say(
            f"{kind} {job.task}: {account.kills} kills, {account.seconds:.0f} s; "
            f"wrong: {verdict.describe() if verdict else 'no verdict'}"
        )
    return accounts


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {text}\n")
    sys.stderr.flush()


def line(kind: str, rounds: int, accounts: list[Account]) -> list[str]:
    """One row of the table."""
    verdicts = [a.verdict for a in accounts if a.verdict]
    cells = [
        kind, rounds, sum(a.kills for a in accounts), len(accounts),
        sum(a.job.rows for a in accounts),
        sum(len(v.lost) for v in verdicts),
        sum(len(v.doubled) + len(v.after_commit) for v in verdicts),
        sum(len(v.different) for v in verdicts),
        sum(len(v.given_up) for v in verdicts),
        sum(len(v.orphans) for v in verdicts),
        sum(v.again for v in verdicts),
        sum(a.faults for a in accounts),
        sum(a.lost_answers_of_puts for a in accounts),
        sum(len(a.begins) for a in accounts),
        f"{sum(a.seconds for a in accounts):.0f}",
    ]  # fmt: skip
    return [str(cell) for cell in cells]


def table(lines: list[list[str]]) -> str:
    """A Markdown table."""
    rows = [list(_HEADINGS), ["---", *["--:"] * (len(_HEADINGS) - 1)], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def commit_name() -> str:
    """The commit of the tree, and whether it was changed since."""
    try:
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def report(lines: list[list[str]], groups: dict[Kind, list[Account]], seconds: float) -> str:
    """The whole of RESULTS.md."""
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}"
    accounts = [account for group in groups.values() for account in group]
    worst = max((a.verdict.audio_error for a in accounts if a.verdict), default=0.0)
    notes = []
    for kind, group in groups.items():
        moments = sum((a.moments for a in group), type(group[0].moments)()) if group else {}
        when = ", ".join(f"{count} {moment}" for moment, count in sorted(moments.items()))
        notes.append(f"- `{kind}`: {when or 'none hit'}.")
    stops = [f"- `{text}` ({n} times)" for a in accounts for text, n in a.stops.items()]
    wrong = [
        f"- `{a.kind}` {a.job.task}: {a.verdict.describe()}"
        for a in accounts
        if a.verdict and a.verdict.describe() != "nothing"
    ]
    sections = [
        "# Chaos: what was killed, and what it cost",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit `{commit_name()}`, {machine}, "
        f"{seconds:.0f} s in all.\n\n`python -m tests.chaos {' '.join(sys.argv[1:])}`".rstrip(),
        table(lines),
        "A job is the real command, `tts` or `reconstruct` with the model `tiny`, two rows a unit, "
        "over an S3 server behind a proxy that spoils requests (500, 503, delay, cut before, "
        "answer lost after). Its rows are compared with those of a run that nothing disturbed. "
        "*Lost*: an id in neither `data` nor `errors`, or a named object that is not there. "
        "*Doubled*: an id twice, a commit record changed or written twice, or work on a unit that "
        "an earlier start had committed. *Different*: codes or facts not equal, or audio off by "
        f"more than 0.001 (largest difference seen: {worst:g}). *Given up*: a row in the errors "
        "table that the clean run has done. *Left over*: objects that no commit names. *Units "
        "written again* were not committed by an earlier start; work that died before its part "
        "was written leaves no trace and is not counted.",
        "When the kills came:\n\n" + "\n".join(notes),
    ]
    if stops:
        sections.append("Ends that were no kill (the same command went on):\n\n" + "\n".join(stops))
    if wrong:
        sections.append("What went wrong:\n\n" + "\n".join(wrong))
    return "\n\n".join(sections) + "\n"


def main() -> int:
    """Run it; 1 if a row was lost, doubled or different."""
    options = parse()
    dice = random.Random(options.seed)
    begun = time.monotonic()
    lines: list[list[str]] = []
    groups: dict[Kind, list[Account]] = {}
    clean: dict[Job, Result] = {}
    with Stand(options.fault_rate, options.seed) as stand:
        for kind in options.only or KINDS:
            rounds = options.rounds_driver if kind == "driver" else options.rounds_other
            end = begun + 60 * options.minutes * _SHARES[kind]
            groups[kind] = put_through(stand, kind, rounds, options.rows, clean, dice, end)
            lines.append(line(kind, rounds, groups[kind]))
    text = report(lines, groups, time.monotonic() - begun)
    sys.stdout.write(text)
    if options.out:
        options.out.write_text(text)
    verdicts = [account.verdict for group in groups.values() for account in group]
    return 0 if verdicts and all(v and v.good for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
