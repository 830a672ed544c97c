"""What a run comes to."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.report import Report
from pipelines.run_state.counts import Counts


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        output: where everything is.
        counts: rows and seconds of the whole job, earlier runs included.
        elapsed_s: wall time of this run.
        exit_code: 0 when every row succeeded, 3 when some are in the errors table.
        report: where ``report.html`` is and what it found; None when it could not be made.
        tried: rows that a retry ran again; None for a run.
        mended: how many of these succeeded.
        computed: rows that this run did, of those in `counts`.
    """

    output: str
    counts: Counts
    elapsed_s: float
    exit_code: int
    report: Report | None = None
    tried: int | None = None
    mended: int = 0
    computed: int = 0
