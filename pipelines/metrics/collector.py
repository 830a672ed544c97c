"""Prometheus metrics of a run, made when they are asked for: nothing runs between two scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pipelines.progress.live_view import ProgressSnapshot
from pipelines.progress.tally import COMMIT_BOUNDS_S, Totals

if TYPE_CHECKING:
    from pipelines.progress.progress import Progress

PREFIX = "uniaudio2_"
_COUNTERS: dict[str, tuple[str, str, Callable[[Totals], Any]]] = {
    "rows": ("outcome", "Rows that were committed.", lambda now: now.rows),
    "row_errors": ("kind", "Rows in errors, by kind.", lambda now: now.errors),
    "units": ("", "Units that were committed.", lambda now: now.units),
    "input_audio_seconds": ("", "Audio read, of good rows.", lambda now: now.input_s),
    "output_audio_seconds": ("", "Audio written.", lambda now: now.output_s),
    "written_bytes": ("", "Size of committed files.", lambda now: now.written_bytes),
    "stage_busy_seconds": ("stage", "Time that workers were at work.", lambda now: now.busy_s),
    "stage_rows": ("stage", "Good rows that came out.", lambda now: now.stage_rows),
    "stage_failed_rows": ("stage", "Rows given up.", lambda now: now.stage_failed),
    "stage_calls": ("stage", "Calls on a unit, or a row alone.", lambda now: now.stage_calls),
    "faults": ("kind", "Calls that came to nothing.", lambda now: now.faults),
    "retried_units": ("", "Units that were tried again.", lambda now: now.retried),
    "remade_rows": ("", "Rows that broke verify.rule and are made again.", lambda now: now.again),
}
_GAUGES: dict[str, tuple[str, Callable[[ProgressSnapshot], float | None]]] = {
    "rows_planned": ("Rows of the job, as far as it is planned.", lambda at: at.rows),
    "rows_left": ("Rows that are not done yet.", lambda at: at.rows - at.done),
    "left_seconds": (
        "Estimate of the time left; absent before there is one.",
        lambda at: at.left_s,
    ),
    "elapsed_seconds": ("Time since the work began.", lambda at: at.elapsed_s),
}
_STAGE_GAUGES = {
    "stage_queued_units": ("Units that wait for it.", "queue"),
    "stage_running_units": ("Units in it.", "running"),
    "stage_ready_workers": ("Workers that can work; 0 for tasks.", "ready"),
    "stage_pending_workers": ("Workers that are starting.", "pending"),
}


class RunCollector:
    """What a registry of `prometheus_client` asks at each scrape.

    Attributes:
        progress: of the run; None before it is planned, when there is nothing to tell.
    """

    def __init__(self) -> None:
        self.progress: Progress | None = None

    def describe(self) -> list[Any]:
        """No names ahead: a registry that wants them would collect once by itself."""
        return []

    def collect(self) -> Iterator[Any]:
        """Families of samples, `prometheus_client.metrics_core.Metric`, of this moment."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        progress = self.progress
        yield GaugeMetricFamily(
            f"{PREFIX}run_planned", "1 when it is planned, 0 before.", value=progress is not None
        )
        if progress is None:
            return
        totals, at = progress.tally.totals(), progress.snapshot()
        for name, (label, told, read) in _COUNTERS.items():
            labels = [label] if label else []
            family = CounterMetricFamily(f"{PREFIX}{name}", told, labels=labels)
            found = read(totals)
            values: Mapping[str, float] = found if isinstance(found, Mapping) else {"": found}
            for value, count in sorted(values.items()):
                family.add_metric([value] if label else [], count)
            yield family
        yield _commit_times(totals)
        for name, (told, tell) in _GAUGES.items():
            family = GaugeMetricFamily(f"{PREFIX}{name}", told)
            if (number := tell(at)) is not None:
                family.add_metric([], number)
            yield family
        yield GaugeMetricFamily(
            f"{PREFIX}last_commit_timestamp_seconds",
            "When a record was committed last, in seconds since 1970; 0 before the first.",
            value=totals.committed_at,
        )
        for name, (told, field) in _STAGE_GAUGES.items():
            family = GaugeMetricFamily(f"{PREFIX}{name}", told, labels=["stage"])
            for state in at.stages:
                family.add_metric([state.name], getattr(state, field))
            yield family


def _commit_times(totals: Totals) -> Any:
    """A histogram: how many records took at most so long."""
    from prometheus_client.core import HistogramMetricFamily

    bounds = [*map(str, COMMIT_BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(totals.commits), strict=True))
    return HistogramMetricFamily(
        f"{PREFIX}commit_seconds", "Time that a commit record took.", buckets, totals.commits_s
    )
