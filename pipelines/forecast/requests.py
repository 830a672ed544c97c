"""Requests to object stores, and what they cost: the model of docs/scale.md."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config.job import JobConfig

PUT_PRICE, GET_PRICE = 0.005 / 1000, 0.0004 / 1000
"""US dollars a request: S3 Standard, November 2026."""
OTHER_PER_UNIT = 2.917
"""Requests to OUTPUT that are no PUT: `nodes.requests_per_unit_8` without `nodes.puts_per_unit_8`
of ``python -m benchmarks nodes``."""
_AT_ONCE_S = 1e-3


@dataclass(frozen=True)
class Requests:
    """Requests of a run; 0 to what is on a disk.

    Attributes:
        puts: parts, sounds, commit records, merged parts.
        others: to OUTPUT.
        gets: for the audio of INPUT.
    """

    puts: float = 0.0
    others: float = 0.0
    gets: float = 0.0

    @property
    def price(self) -> float:
        """US dollars."""
        return self.puts * PUT_PRICE + (self.others + self.gets) * GET_PRICE


def requests_of(
    job: JobConfig, rows: float, units: float, objects: float, part_bytes: float, wall_s: float
) -> Requests:
    """Requests of a run.

    Args:
        job: where INPUT and OUTPUT are.
        rows: that are done; each whose audio is a file is one GET.
        units: of them.
        objects: parts and sounds that stages write.
        part_bytes: of the parts, which are merged into large ones.
        wall_s: of the run; a commit record is written every `commit_interval_s`.
    """
    gets = rows if "://" in job.input and "audio" in job.spec.columns else 0.0
    if "://" not in job.output:
        return Requests(gets=gets)
    records = min(units, wall_s / max(job.commit_interval_s, _AT_ONCE_S) + 1)
    merged = part_bytes / job.parts.target_bytes if job.parts.merge else 0.0
    reads = units if merged >= 1 else 0.0  # each part once
    return Requests(objects + records + merged, units * OTHER_PER_UNIT + reads, gets)
