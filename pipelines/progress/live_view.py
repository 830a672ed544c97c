"""The live view of a run in a terminal: a line for each stage, and how far the whole is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.executor.stage_monitor import TASK_STAGES, StageState
from pipelines.progress.terminal import Terminal, cell

_PER_SECOND = 4


@dataclass(frozen=True)
class ProgressSnapshot:
    """State of a run at one moment.

    Attributes:
        rows: of the whole job.
        done: rows in data or in errors.
        errors: rows in errors.
        elapsed_s: since this run began.
        working_s: since its first unit was taken up; what starts before is no part of its speed.
        rows_per_s: rows committed a second.
        audio_per_s: seconds of audio, read and written, a second.
        audio_per_row_s: seconds of audio of a row, the mean so far.
        left_s: until the end; None when nothing is known yet.
        stages: what each is doing; empty when it cannot be seen.
        failed: rows that each stage gave up.
        driver: in words, where the run is looked at from another process; "" in its own.
        doing: what is being done before stages work, in words; "" when they do.
    """

    rows: int
    done: int
    errors: int
    elapsed_s: float
    working_s: float
    rows_per_s: float
    audio_per_s: float
    audio_per_row_s: float
    left_s: float | None
    stages: tuple[StageState, ...]
    failed: Mapping[str, int]
    driver: str = ""
    doing: str = ""

    def line(self) -> str:
        """All of it but the stages in one line."""
        left = (
            "time left unknown" if self.left_s is None else f"{format_duration(self.left_s)} left"
        )
        return (
            f"{self.done}/{self.rows} rows  {self.errors} errors  {self.rows_per_s:.1f} rows/s  "
            f"{self.audio_per_s:.1f} s of audio/s  {left}"
        )


def format_duration(seconds: float) -> str:
    """A duration as a person would say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def render_view(snapshot: ProgressSnapshot) -> RenderableType:
    """The view of a snapshot."""
    parts: list[RenderableType] = []
    if snapshot.doing:
        parts.append(Text.assemble(cell(snapshot.doing), style="dim"))
    if snapshot.stages:
        parts.append(_stages(snapshot))
    elif snapshot.driver:
        parts.append(Text.assemble(cell(snapshot.driver), style="dim"))
    elif not snapshot.doing:
        parts.append(Text(f"starting, {format_duration(snapshot.elapsed_s)}", style="dim"))
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=max(snapshot.rows, 1), completed=snapshot.done, width=24),
                Text(snapshot.line()))  # fmt: skip
    parts.append(bar)
    return Group(*parts)


def _stages(snapshot: ProgressSnapshot) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage")
    for name in ("rows", "audio s/s", "queue", "in work", "actors", "errors"):
        table.add_column(name, justify="right")
    last = snapshot.stages[-1]
    for stage in snapshot.stages:
        # the last stage yields receipts, one a unit
        rows = snapshot.done if stage is last else stage.rows
        actors = f"{stage.ready}" + (f" (+{stage.pending})" if stage.pending else "")
        if stage.name in TASK_STAGES:
            actors = "tasks"
        failed = snapshot.failed.get(stage.name, 0)
        table.add_row(
            cell(stage.name),
            f"{rows}",
            f"{rows / snapshot.working_s * snapshot.audio_per_row_s:.1f}",
            f"{stage.queue}",
            f"{stage.running}",
            actors,
            Text(f"{failed}", style="red" if failed else "dim"),
        )
    return table


class LiveView:
    """Draws what `look` returns, four times a second, until it is stopped.

    Args:
        look: where the run is now.
        console: where to draw; None takes the terminal.
    """

    def __init__(
        self, look: Callable[[], ProgressSnapshot], console: Terminal | None = None
    ) -> None:
        self._terminal = console or Terminal()
        self._live = Live(
            get_renderable=lambda: render_view(look()),
            console=self._terminal,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def say(self, text: str) -> None:
        """Print a line above the view."""
        self._terminal.show(cell(text))

    def stop(self) -> None:
        """Remove the view."""
        self._live.stop()
