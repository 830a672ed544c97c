"""The graph of stages as one Ray Data stream: tasks that load and write, actor pools between."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import ray
import ray.data
from ray.exceptions import RayError, RayTaskError

from actors.batch.receipt import Fault, Outcome, outcomes
from actors.batch.unit import UnitSpec
from pipelines.causes import NODE, RAY, RAY_JOIN, RAY_START, of_stage, stopped
from pipelines.config.job import JobConfig
from pipelines.errors import Cause
from pipelines.executor.cluster import ADDRESS_VARIABLE, start_ray
from pipelines.executor.executor import Underway
from pipelines.executor.network.ray_watch import RayWatch
from pipelines.executor.nodes.compare import Needs, Probed
from pipelines.executor.nodes.examine import living_nodes, working_nodes
from pipelines.executor.nodes.probe import probe_nodes
from pipelines.executor.nodes.roster import Roster
from pipelines.executor.pools.build import StageNotBuilt
from pipelines.executor.pools.steps import (
    CALLS_AT_ONCE,
    TASK_RETRIES,
    through_pool,
    through_tasks,
)
from pipelines.executor.pools.warm_actors import make_room, release, warm_asks
from pipelines.executor.pools.warm_claim import WarmAsk
from pipelines.executor.ray_internals import (
    counted_cpus,
    end_actors,
    errors_muted,
    leave_out,
    mute_errors,
    ray_sockets,
    supplied,
)
from pipelines.executor.ray_settings import own_data_context, quiet
from pipelines.executor.stage_monitor import BOARD
from pipelines.executor.stages import Stages
from pipelines.executor.unit_blocks import FeedSupply, unit_source
from pipelines.planning.pool_sizing import Allocation, Pool, fit_pools
from pipelines.planning.units.feed import UnitFeed
from uniaudio2.shown import shown

_LOOKS_EVERY_S = 2.0
# A head that is started again may come back; after 60 s Ray ends this process.
HEAD_AWAY_S, _OWN_HEAD_AWAY_S = 40.0, 5.0
T = TypeVar("T")


class RayExecutor:
    """Runs stages on a Ray of this process, or on a cluster.

    Args:
        address: of the cluster; None starts a private Ray, which stays up for the next run.
        verbose: let Ray and its workers print what they have to say.
        keep_warm_s: how long workers of a cluster stay for other runs; None ends them with this.
    """

    def __init__(
        self, address: str | None = None, verbose: bool = False, keep_warm_s: float | None = None
    ) -> None:
        self.address = address
        self.verbose = verbose
        self.keep_warm_s = keep_warm_s
        self._watch: RayWatch | None = None
        self._roster: Roster | None = None

    def start(self) -> None:
        """Start or join Ray; one that runs in this process already is used as it is."""
        BOARD.doing("starting Ray" if self.address is None else "joining the cluster")
        start_ray(self.address, self.verbose)
        BOARD.doing("")

    @property
    def _start_cause(self) -> Cause:
        return RAY_START if self.address is None else RAY_JOIN

    @property
    def is_here(self) -> bool:
        """A cluster may have nodes elsewhere."""
        return self.address is None

    def resources(self) -> Mapping[str, float]:
        """Those of all nodes that are there now; once they are probed, of those that fit."""
        with _told(self._start_cause):
            if self._roster is not None:
                return self._roster.resources()
            resources: dict[str, float] = ray.cluster_resources()
        return resources

    def allocate(self, job: JobConfig, idle: Collection[str] = ()) -> Allocation:
        """Fit the pools to the resources; a cluster may grow, this machine does not."""
        if self.address is not None:
            nodes = [node["Resources"] for node in working_nodes()]
            return fit_pools(job, self.resources(), elastic=True, idle=idle, nodes=nodes)
        found = fit_pools(job, self.resources(), idle=idle)
        notes = []
        if (cpus := counted_cpus()) < 1:
            notes.append(
                f"{cpus:g} of a CPU, which Ray takes for a whole one: stages wait for one another"
            )
        if named := os.environ.get(ADDRESS_VARIABLE):
            notes.append(
                f"{ADDRESS_VARIABLE} is {shown(named)}, and this run has a Ray of its own; "
                "--address auto joins that cluster"
            )
        return replace(found, notes=(*notes, *found.notes))

    def probe(self, needs: Needs) -> Probed:
        """Have every node of a cluster look around; a private Ray has one, which is this one.

        For a later portion of a run those look that fitted the ones before; any other is looked at
        as one that joins, and ends no run.
        """
        if self.address is None:
            return Probed()
        former = self._roster
        with _told(self._start_cause):
            probed = probe_nodes(needs, former.known if former else None)
        known = frozenset(node["id"] for node in probed.nodes)
        self._roster = Roster(needs, known, leave_out, dict(former.left_out if former else {}))
        return probed

    def joined(self) -> Probed:
        """What nodes of the cluster are that joined since."""
        return self._roster.joined() if self._roster else Probed()

    @contextmanager
    def session(self, timeout_s: float) -> Iterator[None]:
        """Ray Data's settings and Ray's voice are ours within, and what they were afterwards."""
        patience_s = HEAD_AWAY_S if self.address is not None else _OWN_HEAD_AWAY_S
        watch = self._watch = RayWatch(*ray_sockets(), patience_s)
        voice = nullcontext() if self.verbose else errors_muted()
        nodes = self._roster.open() if self._roster else nullcontext()
        try:
            with (
                _told(RAY), watch.watching(), voice, quiet(self.verbose),
                own_data_context(timeout_s), nodes,
            ):  # fmt: skip
                yield
        finally:
            if watch.lost and not self.verbose:
                mute_errors()

    def submit(self, call: Callable[..., T], *arguments: Any) -> Underway[T]:
        """A task without a CPU of its own: pools may hold all of them."""
        roster = self._roster
        with _told(RAY):
            nodes = roster.fitting() if roster else frozenset()
            place = roster.only_on(nodes) if roster else {}
            task = ray.remote(num_cpus=0, max_retries=TASK_RETRIES, **place)(call)
            return _Task(task.remote(*arguments), nodes)

    def stream(
        self, units: Sequence[UnitSpec], stages: Stages, allocation: Allocation, alone: bool = False
    ) -> Iterator[Outcome]:
        """See `Executor.stream`; a unit whose worker died is missing from what comes out.

        A unit that met a node which does not fit goes through again, elsewhere.
        """
        waiting: dict[tuple[int, int | None], UnitSpec] = {}
        supply: FeedSupply | None = None
        if isinstance(units, UnitFeed):
            feed, supply = units, FeedSupply(units, waiting)
            supply.first()
        else:
            waiting.update(((unit.unit, unit.row), unit) for unit in units)
        while waiting:
            refused: dict[tuple[int, int | None], UnitSpec] = {}
            before, why = len(self._roster.left_out) if self._roster else 0, ""
            try:
                given = [*waiting.values()]
                found = self._pass(given, stages, allocation, alone, supply)
                with closing(found):
                    for outcome in found:
                        key = outcome.unit, outcome.row
                        if not (isinstance(outcome, Fault) and outcome.kind == "node"):
                            waiting.pop(key, None)
                            yield outcome
                            if supply is not None:
                                feed.looked_at()
                            continue
                        why = outcome.message.partition(": ")[2]
                        if outcome.stage in stages.pools:  # that actor would refuse all the others
                            refused = dict(waiting)
                            break
                        refused[key] = waiting[key]
            except RayError:  # perhaps of an actor that our code was missing for
                if not self._is_without(before, why, allocation.pools):
                    raise
                refused = dict(waiting)
            else:
                if refused and not self._is_without(before, why, allocation.pools):
                    raise stopped(NODE, why)
            if supply is not None and not refused:
                return  # what was lost is for the next stream
            waiting.clear()
            waiting.update(refused)

    def _is_without(self, before: int, why: str, pools: Collection[Pool]) -> bool:
        """Whether more nodes are left out than before, so that what met one can be done again.

        Args:
            before: how many were.
            why: what a worker found wrong with its node; "" where none could look.
            pools: of the run.

        Raises:
            RunFailed: no other could do what they should have done.
        """
        roster = self._roster
        if roster is None:
            return False
        roster.refused(why) if why else roster.update()
        if len(roster.left_out) <= before:
            return False
        if roster.lacks_room_for(pools):
            raise stopped(NODE, [*roster.left_out.values()][-1])
        return True

    def _pass(
        self,
        units: Sequence[UnitSpec],
        stages: Stages,
        allocation: Allocation,
        alone: bool,
        supply: FeedSupply | None = None,
    ) -> Generator[Outcome, None, None]:
        """What becomes of units in one stream, and of those that it is given while it runs."""
        BOARD.expect(("load", *(pool.name for pool in allocation.pools), "write"))
        BOARD.doing("starting workers, loading the model")
        check = self._roster.check() if self._roster else None
        place = self._roster.placement if self._roster else None
        asks = self._warm(stages, allocation)
        stream = unit_source(units)
        cpus = allocation.task_cpus
        stream = through_tasks(stream, stages.load, stages.boundary("load"), cpus, check, place)
        for pool in allocation.pools:
            kind, arguments = stages.pools[pool.name]
            given = {"kind": kind, "arguments": arguments, "check": check}
            given["boundary"] = stages.boundary(pool.name)
            if pool.name in asks:
                given["ask"] = asks[pool.name]
            stream = through_pool(stream, pool, given, alone, place)
        stream = through_tasks(stream, stages.write, stages.boundary("write"), cpus, check, place)
        # one that is fetched ahead comes out with the next, which may be made of it
        ahead = 1 if supply is None else 0
        try:
            with supplied(supply):
                for batch in stream.iter_batches(
                    batch_size=None, batch_format="pyarrow", prefetch_batches=ahead
                ):
                    yield from outcomes(batch)
        finally:
            BOARD.doing("")
            BOARD.expect(())
            if not (self._watch and self._watch.lost):  # nobody could be told to end them
                end_actors()
                if asks:
                    release(asks)

    def _warm(self, stages: Stages, allocation: Allocation) -> dict[str, WarmAsk]:
        """What pools ask for of the workers that others have left, where that is wanted."""
        asks: dict[str, WarmAsk] = {}
        if self.address is None:
            return asks
        pools = allocation.pools
        if self.keep_warm_s is not None:
            run = uuid.uuid4().hex
            asks = warm_asks(pools, stages.pools, run, self.keep_warm_s, CALLS_AT_ONCE)
        make_room(pools, asks)
        return asks


@contextmanager
def _told(cause: Cause) -> Iterator[None]:
    """Say what Ray raises in one line; where a stage is to blame, Ray's error holds its words."""
    try:
        yield
    except RayError as fault:
        lines = str(fault).strip().splitlines() or [type(fault).__name__]
        mark = f"{StageNotBuilt.__name__}: "
        unbuilt = [line.partition(mark)[2] for line in lines if mark in line]
        raise (of_stage(unbuilt[-1]) if unbuilt else stopped(cause, lines[-1])) from fault


@dataclass(frozen=True)
class _Task(Generic[T]):
    reference: Any
    nodes: frozenset[str]  # that alone may do it; empty for all

    def is_done(self) -> bool:
        ready, _ = ray.wait([self.reference], timeout=0)
        return bool(ready) or self._is_stranded()

    def _is_stranded(self) -> bool:
        return bool(self.nodes) and not self.nodes & living_nodes()

    def result(self) -> T:
        with _told(RAY):
            while not ray.wait([self.reference], timeout=_LOOKS_EVERY_S)[0]:
                if self._is_stranded():  # Ray would wait for ever
                    ray.cancel(self.reference)
                    raise stopped(RAY, "the nodes are gone on which it could be done")
            try:
                made: T = ray.get(self.reference)
            except RayTaskError as fault:
                if isinstance(fault.cause, Exception):
                    raise fault.cause from None
                raise
        return made
