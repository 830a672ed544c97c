"""What runs the stages of a job: a Ray, or this very process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from actors.batch.receipt import Outcome
from actors.batch.unit import UnitSpec
from pipelines.config.job import JobConfig
from pipelines.executor.nodes.compare import Needs, Probed
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation

T = TypeVar("T")
Result = TypeVar("Result", covariant=True)


class Underway(Protocol[Result]):
    """A call that is made beside the stages."""

    def is_done(self) -> bool:
        """Whether `result` would not wait."""
        ...

    def result(self) -> Result:
        """What the call returns, or raises.

        Raises:
            RunFailed: its worker died.
        """
        ...


class Executor(Protocol):
    """Takes units through stages. It knows no commits: what it yields may come twice, or never.

    `start` comes first, then `resources` and `allocate`; streams run within `session`.
    """

    def start(self) -> None:
        """Get ready to run stages.

        Raises:
            RunFailed: it cannot be started, or not be reached.
        """
        ...

    def resources(self) -> Mapping[str, float]:
        """What there is, such as ``{"CPU": 8.0, "GPU": 1.0}``."""
        ...

    def allocate(self, job: JobConfig, idle: Collection[str] = ()) -> Allocation:
        """Size the pools of a job's stages.

        Args:
            job: may fix sizes, or leave them open.
            idle: stages that no row of the manifest needs.

        Raises:
            UsageError: what the job asks for is not there.
        """
        ...

    def probe(self, needs: Needs) -> Probed:
        """Look at every machine that will work, and refuse what would not do the same as the
        others; it costs a moment.

        Args:
            needs: of the run.

        Raises:
            UsageError: names the node, what is wrong there and what to do.
            RunFailed: a node does not answer.
        """
        ...

    def joined(self) -> Probed:
        """What machines are that joined since `probe`, or since this was last asked: facts and
        warnings, which also tell of those that are left out."""
        ...

    def session(self, timeout_s: float) -> AbstractContextManager[None]:
        """Surrounds all streams of a run; gives back whatever it changes in this process.

        Args:
            timeout_s: longest call of a stage on one unit.

        Raises:
            RunFailed: what runs the stages gave up.
        """
        ...

    @property
    def is_here(self) -> bool:
        """Whether all workers are on this machine."""
        ...

    def submit(self, call: Callable[..., T], *arguments: Any) -> Underway[T]:
        """Make a call where there is room, within `session`.

        Args:
            call: a function of a module; it may be made again where a worker dies.
            arguments: of the call.
        """
        ...

    def stream(
        self, units: Sequence[UnitSpec], stages: Stages, allocation: Allocation, alone: bool = False
    ) -> Iterator[Outcome]:
        """Run units through all stages, in any order.

        Args:
            units: whole units, or single rows of them.
            stages: the callables.
            allocation: sizes of the pools.
            alone: never queue a unit behind another, so that a dying worker takes one with it.

        Yields:
            a receipt for every unit that was written, a fault for one whose stage raised; nothing
            for one whose worker died.

        Raises:
            RunFailed: a machine that joined does not fit, and the run cannot go on without it.
        """
        ...


def executor_for(job: JobConfig, verbose: bool = False) -> Executor:
    """The executor that a job asks for; Ray is imported only where it is used.

    Args:
        job: `executor` and `address` decide.
        verbose: let Ray print what it has to say.

    Raises:
        UsageError: what Ray runs would put OUTPUT where it is removed.
    """
    if job.executor == "inline":
        from pipelines.executor.inline_executor import InlineExecutor

        return InlineExecutor()
    from pipelines.executor.cluster import check_stays, is_submitted
    from pipelines.executor.ray_executor import RayExecutor

    check_stays(job.output)
    # a submitted job runs on the cluster that it was sent to
    address = job.address or ("auto" if is_submitted() else None)
    return RayExecutor(address, verbose, job.keep_warm_s)
