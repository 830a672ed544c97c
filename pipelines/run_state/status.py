"""What is committed, failed and left in an OUTPUT, told from storage alone."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.run_state.commit_log import open_output
from pipelines.run_state.counts import Counts
from pipelines.run_state.run_facts import require, rows_of
from uniaudio2.shown import shown


@dataclass(frozen=True)
class Status:
    """The state of a run.

    Attributes:
        state: ``running`` (or stopped before its end) or ``finished``.
        task: name of the task.
        model: fingerprint of the model.
        rows: rows of the input, and committed ones that it no longer has.
        ok: rows committed with a result.
        errors: rows committed to the errors table.
        units: units of the input.
        units_done: units committed.
        input_s: seconds of input audio done.
        output_s: seconds of audio written.
        kinds: errors by kind.
        marks: rows with a result by the mark that they bear.
        later_files: files of the input whose rows are not planned yet, and in none of the sums.
    """

    state: str
    task: str
    model: str
    rows: int
    ok: int
    errors: int
    units: int
    units_done: int
    input_s: float
    output_s: float
    kinds: dict[str, int]
    marks: dict[str, int]
    later_files: int = 0

    @property
    def left(self) -> int:
        """Rows that no commit covers."""
        return self.rows - self.ok - self.errors


def read_status(output: str) -> Status:
    """Count what the commit log of `output` names; every text is safe to show.

    Raises:
        UsageError: no run was ever started there, or what is there is none.
    """
    commit_log, facts = open_output(output)
    require(facts, output, "state", "job.task", "job.model", "input.rows", "input.units")
    counts = Counts(rows=rows_of(facts), units=facts["input"]["units"])
    for commit in commit_log.each_commit():
        counts.add(commit)
    return Status(
        state=shown(facts["state"]),
        task=shown(facts["job"]["task"]),
        model=shown(facts["job"]["model"]),
        rows=counts.rows,
        ok=counts.ok,
        errors=counts.errors,
        units=counts.units,
        units_done=counts.units_done,
        input_s=counts.input_s,
        output_s=counts.output_s,
        kinds={shown(kind): count for kind, count in counts.kinds.items()},
        marks={shown(mark): count for mark, count in counts.marks.items()},
        later_files=facts["input"].get("later_files", 0),
    )


def verify(output: str) -> list[str]:
    """Read every committed object of `output` again and compare it with its commit record.

    Returns:
        what is missing or differs; empty when all is well.
    """
    return open_output(output)[0].verify()
