"""What is committed, failed and left in an OUTPUT, told from storage alone."""

from __future__ import annotations

from dataclasses import dataclass

from actors.storage import Storage
from pipelines.errors import UsageError
from pipelines.ledger import Ledger
from pipelines.progress import Counts


@dataclass(frozen=True)
class Status:
    """The state of a run.

    Attributes:
        state: ``running`` (or stopped before its end) or ``finished``.
        task: name of the task.
        model: fingerprint of the model.
        rows: rows of the input.
        ok: rows committed with a result.
        errors: rows committed to the errors table.
        units: units of the input.
        units_done: units committed.
        input_s: seconds of input audio done.
        output_s: seconds of audio written.
        kinds: errors by kind.
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

    @property
    def left(self) -> int:
        """Rows that no commit covers."""
        return self.rows - self.ok - self.errors


def read_status(output: str) -> Status:
    """Count what the commit log of `output` names.

    Raises:
        UsageError: no run was ever started there.
    """
    ledger = Ledger(Storage(output))
    facts = ledger.read_run()
    if facts is None:
        raise UsageError(f"{output} holds no run.json; give the OUTPUT of a run")
    counts = Counts(rows=facts["input"]["rows"], units=facts["input"]["units"])
    for commit in ledger.each_commit():
        counts.add(commit)
    return Status(
        state=facts["state"],
        task=facts["job"]["task"],
        model=facts["job"]["model"],
        rows=counts.rows,
        ok=counts.ok,
        errors=counts.errors,
        units=counts.units,
        units_done=counts.units_done,
        input_s=counts.input_s,
        output_s=counts.output_s,
        kinds=dict(counts.kinds),
    )


def verify(output: str) -> list[str]:
    """Read every committed object of `output` again and compare it with its commit record.

    Returns:
        what is missing or differs; empty when all is well.
    """
    return Ledger(Storage(output)).verify()
