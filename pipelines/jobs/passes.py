"""Units through the stages, again and again until each has come through or its rows have been tried
alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.batch.receipt import Fault, Receipt
from actors.batch.unit import UnitSpec
from pipelines.causes import of_stage, of_unkept
from pipelines.config.job import JobConfig
from pipelines.executor.executor import Executor
from pipelines.executor.stages import Stages
from pipelines.jobs.row_isolation import RowIsolation
from pipelines.planning.pool_sizing import Allocation
from pipelines.planning.units.feed import UnitFeed
from pipelines.progress.tally import Tally
from pipelines.run_state.lease import Lease

_UNSTORED_UNITS = 3
Units = list[UnitSpec]


@dataclass(frozen=True)
class Calls:
    """What passes ask of the run that they belong to.

    Attributes:
        look: between any two units: raises what has to end the run.
        arrived: takes in what came of a unit.
        made_again: units of rows that wait to be made again; with True only whole ones. None where
            no row is.
        with_kept: points units at the tokens that an earlier pass kept of them.
        say: tells people an event and what it is.
        tally: counts faults and units that are tried again.
    """

    look: Callable[[], None]
    arrived: Callable[[UnitSpec, Sequence[Receipt]], None]
    made_again: Callable[[bool], Units] | None
    with_kept: Callable[[Units], Units]
    say: Callable[[str, str], None]
    tally: Tally


class Passes:
    """The passes of one set of stages.

    Args:
        job: what is run.
        executor: streams the units.
        stages: of the job.
        allocation: their pools.
        lease: proves that OUTPUT is still this run's.
        hopeless_units: when so many fail and no other arrives, it is not for their rows.
        run: what is asked of the run.
    """

    def __init__(
        self,
        job: JobConfig,
        executor: Executor,
        stages: Stages,
        allocation: Allocation,
        lease: Lease,
        hopeless_units: int,
        run: Calls,
    ) -> None:
        self._job, self._executor, self._run = job, executor, run
        self._stages, self._allocation = stages, allocation
        self._hopeless_units = hopeless_units
        self._faults: dict[int, Fault] = {}
        self._unstored = 0
        self._alone = RowIsolation(
            job.output, job.max_attempts, executor, stages, allocation, lease
        )

    def take(self, pending: Units) -> None:
        """Stream units until each has come through, or its rows have been tried alone; and those
        of rows that wait to be made again.

        Raises:
            RunFailed: none arrives, or nothing can be stored.
        """
        while pending:
            for _ in range(self._job.max_attempts):
                pending = self._pass(pending)
                if not pending:
                    break
                pending = self._run.with_kept(pending)
            for unit, receipts in self._alone.receipts(pending) if pending else ():
                self._arrived(unit, receipts)
            pending = self._run.made_again(False) if self._run.made_again else []

    def _pass(self, pending: Units) -> Units:
        """Stream units once and hand over those that arrive; returns the others."""
        left = {unit.unit: unit for unit in pending}
        again = self._run.made_again
        feed = UnitFeed(pending) if again else None
        units = pending if feed is None else feed
        for outcome in self._executor.stream(units, self._stages, self._allocation):
            self._run.look()
            if isinstance(outcome, Fault):
                self._faults[outcome.unit] = outcome
                self._run.tally.add_fault(outcome.kind)
                self._give_up_if_nothing_is_stored(outcome)
            elif outcome.unit in left:
                self._arrived(left.pop(outcome.unit), [outcome])
                if feed is not None and again:  # the last rows go in units as small as they come
                    more = again(feed.left > 0)
                    left.update((unit.unit, unit) for unit in more)
                    feed.add(more)
        if left:
            self._tell(list(left), len(units))
        return list(left.values())

    def _tell(self, left: Sequence[int], asked: int) -> None:
        """Say which units did not arrive, and why; they are hopeless where none of many did."""
        faults = [self._faults[number] for number in left if number in self._faults]
        reasons = {fault.message for fault in faults}
        if len(faults) < len(left):
            reasons.add("a worker died")
        if len(left) == asked >= self._hopeless_units:
            told = f"all {len(left)} units failed: {'; '.join(sorted(reasons)[:3])}"
            raise of_stage(told, faults[0] if faults else None)
        why = "; ".join(sorted(reasons)[:2])
        self._run.tally.add_retries(len(left))
        self._run.say("retry", f"{len(left)} units did not arrive ({why}); again")

    def _arrived(self, unit: UnitSpec, receipts: Sequence[Receipt]) -> None:
        self._unstored = 0
        self._run.arrived(unit, receipts)

    def _give_up_if_nothing_is_stored(self, fault: Fault) -> None:
        """End a run whose results storage no longer takes, before it computes more of them."""
        unkept = of_unkept(fault, "no results are kept: ")
        self._unstored += unkept is not None
        if unkept and self._unstored >= _UNSTORED_UNITS:
            raise unkept
