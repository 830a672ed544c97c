"""What it brings to commit quick units together: records, requests and rows a second.

The stages are those of `benchmarks.driver`: all real but the language model, which answers at once.
On a disk and over an S3 endpoint of this machine, each way in a process of its own, in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.counting_store import BUCKET, KINDS, asked_of, counting_store
from benchmarks.driver import measured, text_manifest
from pipelines import JobConfig

_ROWS, _QUICK_ROWS = 200_000, 10_000
_ROUNDS, _QUICK_ROUNDS = 2, 1
_UNIT_ROWS = 128
_INTERVALS_S = {"one by one": 0.0, "together": 2.0}


def _job(manifest: Path, output: str, interval_s: float) -> JobConfig:
    return JobConfig(
        task="text_only", model="tiny", input=str(manifest), output=output, unit_rows=_UNIT_ROWS,
        commit_interval_s=interval_s,
    )  # fmt: skip


def run(quick: bool) -> Mapping[str, float]:
    """Measure and print; returns the figures by name."""
    rows, rounds = (_QUICK_ROWS, _QUICK_ROUNDS) if quick else (_ROWS, _ROUNDS)
    took: dict[tuple[str, str], list[float]] = {}
    figures: dict[str, float] = {}
    print(f"{rows} rows in units of {_UNIT_ROWS}")
    with tempfile.TemporaryDirectory() as scratch, counting_store() as address:
        manifest = text_manifest(Path(scratch), rows)
        for turn in range(rounds):
            for way, interval_s in _INTERVALS_S.items():
                for place, root in {"disk": scratch, "s3": f"s3://{BUCKET}"}.items():
                    output = f"{root}/{turn}-{way.replace(' ', '-')}"
                    before = asked_of(address)
                    seen = measured("run", _job(manifest, output, interval_s))
                    took.setdefault((place, way), []).append(seen.seconds)
                    line = f"{place:<4}  {way:<10}  {seen.seconds:>6.1f} s"
                    if place == "s3":
                        after = asked_of(address)
                        asked = {name: after[name] - before[name] for name in (*KINDS, "records")}
                        line += "  " + ", ".join(f"{asked[name]} {name}" for name in asked)
                        key = way.replace(" ", "_")
                        figures[f"commits.records_{key}"] = asked["records"]
                        figures[f"commits.requests_{key}"] = sum(asked[kind] for kind in KINDS)
                    print(line, flush=True)
    for place in ("disk", "s3"):
        one, many = (median(took[place, way]) for way in _INTERVALS_S)
        figures[f"commits.rows_per_s_{place}"] = rows / many
        figures[f"commits.ratio_{place}"] = one / many
        print(f"{place}: {rows / one:.0f} rows/s one by one, {rows / many:.0f} together")
    return figures
