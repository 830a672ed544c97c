"""Everything of Ray that has no public name, in one place.

Another release of Ray may move any of it. `tests/pipelines/executor/test_ray_internals.py` takes
each of these for a walk against the Ray that is installed and names what broke. Measured with Ray
2.60; pyproject.toml holds it to that release.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import ray
import ray.data
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
)
from ray.data._internal.execution.backpressure_policy import (
    BackpressurePolicy as BackpressurePolicy,  # for policies of ours
)
from ray.data._internal.execution.execution_callback import ExecutionCallback

from pipelines.executor.stage_monitor import BOARD, StageState

# operators that stand before the first stage: they hold the units' addresses and hand them out
SOURCE_OPERATORS = 2
_SPLITTER = "StreamingRepartition"
_SUPPLIED_AHEAD = 16  # units that wait for the first stage
_REST_S = 0.01


def read_token() -> None:
    """Let Ray's core in this process read authentication mode and token anew.

    It remembers those of its import, and has no public way to look again.
    """
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def asks_for_token() -> bool:
    """Whether Ray's servers refuse who brings no token, by this process's settings."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def published_job_server(address: str) -> str | None:
    """Where a cluster says that its job server is, asked once; None where it names none.

    A head without `ray[default]` names one, too, and nothing listens there. Ray's own client asks
    twenty times, two seconds apart.

    Args:
        address: of the cluster, or ``auto``.

    Raises:
        ConnectionError | RayError: no cluster answers.
    """
    from ray._private import ray_constants, services
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    gcs = GcsClient(address=services.canonicalize_bootstrap_address_or_die(address))
    key, room = ray_constants.DASHBOARD_ADDRESS, ray_constants.KV_NAMESPACE_DASHBOARD
    found: bytes | None = gcs.internal_kv_get(key.encode(), room)
    return f"http://{found.decode()}" if found else None


def counted_cpus() -> float:
    """CPUs of this machine as Ray counts them, before it cuts them to a whole number."""
    from ray._private.utils import _get_docker_cpus, get_num_cpus

    # the latter cuts, and warns of it
    quota = None if os.environ.get("RAY_USE_MULTIPROCESSING_CPU_COUNT") else _get_docker_cpus()
    return float(quota or get_num_cpus(override_docker_cpu_warning=True))


def find_cluster() -> str:
    """``HOST:PORT`` of the cluster that Ray means by ``auto``: that of RAY_ADDRESS, one that a
    process of this machine serves, or the last that was started here.

    Raises:
        ConnectionError: there is none.
    """
    from ray._private.services import canonicalize_bootstrap_address

    return str(canonicalize_bootstrap_address("auto") or "")


def cluster_versions(address: str) -> dict[str, str] | None:
    """What the head at ``HOST:PORT`` says of itself: ``ray_version`` and ``python_version``; None
    where it says nothing of it. It blocks, for 40 s where no Ray answers, and writes to stderr.

    Raises:
        AuthenticationError: it wants another token than this process has.
        RpcError: no Ray answers.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    facts = GcsClient(address=address).internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=10)
    return json.loads(facts) if facts else None


def ray_sockets() -> tuple[str, str]:
    """``HOST:PORT`` of the head's server, and the path of the socket of this machine's raylet."""
    node = ray._private.worker._global_node
    return str(node.gcs_address), str(node.raylet_socket_name).removeprefix("unix://")


@contextmanager
def errors_muted() -> Iterator[None]:
    """Keep what Ray's servers have to say of errors, in many lines, from this process's stderr."""
    worker = ray._private.worker
    told = worker.print_to_stdstream
    mute_errors()
    try:
        yield
    finally:
        worker.print_to_stdstream = told


def mute_errors() -> None:
    """The same for good, for a Ray that is gone."""
    ray._private.worker.print_to_stdstream = lambda *_, **__: None


def set_search_path(job_config: Any, folders: list[str]) -> None:
    """Folders that workers of a job search first, in the place of the driver's own."""
    job_config._py_driver_sys_path = folders[::-1]  # a worker puts each before those before it


def add_backpressure(policy: type[BackpressurePolicy]) -> None:
    """Have streams of the current data context ask a policy of ours, too."""
    context = ray.data.DataContext.get_current()
    policies = [*ENABLED_BACKPRESSURE_POLICIES, policy]
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)


def is_splitter(operator: Any) -> bool:
    """Whether an operator is the one that takes blocks of many units apart."""
    return str(operator.name).startswith(_SPLITTER)


def waiting_for_first_stage(policy: BackpressurePolicy) -> int:
    """Blocks that wait for the stage behind the splitter."""
    after = list(policy._topology.values())[SOURCE_OPERATORS : SOURCE_OPERATORS + 1]
    return sum(int(state.total_enqueued_input_blocks()) for state in after)


def free_of_cpus(stream: ray.data.Dataset) -> None:
    """Let the tasks of a dataset's last operator run without a CPU of their own."""
    options: dict[str, Any] = stream._logical_plan.dag.ray_remote_args
    options["num_cpus"] = 0


def stage_operators(executor: Any) -> list[tuple[Any, Any]]:
    """Operators of the stages of a running stream, each with its state, in their order."""
    return list(executor._topology.items())[SOURCE_OPERATORS:]


def actors_of(operator: Any) -> list[Any]:
    """Handles of the actors of an operator's pool; none where it runs tasks."""
    pool = getattr(operator, "_actor_pool", None)
    return [*pool._running_actors, *pool._pending_actors.values()] if pool else []


def stage_state(name: str, operator: Any, state: Any) -> StageState:
    """What an operator is doing."""
    actors = operator.get_actor_info()
    return StageState(
        name=name,
        rows=int(operator.metrics.rows_task_outputs_generated),
        queue=int(state.total_enqueued_input_blocks()),
        running=int(operator.num_active_tasks()),
        ready=int(actors.running),
        pending=int(actors.pending + actors.restarting),
    )


# weak, for a handle that is kept would keep an actor from being given up
_ACTORS: weakref.WeakSet[Any] = weakref.WeakSet()
_ACTORS_LOCK = threading.Lock()


_LEFT_OUT: set[str] = set()


def leave_out(nodes: Iterable[str]) -> None:
    """Have streams of this process count on nothing of some nodes, given by their ids.

    Ray Data shares out what all nodes have. With room on nodes that are given no work it would
    start actors in the place of the tasks that feed them.
    """
    _LEFT_OUT.clear()
    _LEFT_OUT.update(nodes)


class Supply(Protocol):
    """What gives a stream more to do while it runs."""

    def more(self) -> Any:
        """A table of what is to be done now, a row for each of the blocks that are made of it; None
        where there is nothing now."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        ...

    def rests(self, is_at_rest: bool) -> None:
        """Be told at every step whether anything is under way in the stream."""
        ...


_SUPPLY: list[Supply] = []


@contextmanager
def supplied(supply: Supply | None) -> Iterator[None]:
    """Let streams that start within be given more while they run.

    Ray Data knows of a stream's input when it starts, and has no public way to add to it.
    """
    _SUPPLY[:] = [supply] if supply else []
    try:
        yield
    finally:
        _SUPPLY.clear()


def _keep_open(executor: Any, supply: Supply) -> None:
    """Have the operator of the input end when the supply does."""
    source = next(iter(executor._topology))
    source.has_execution_finished = lambda: supply.is_over


def _add_input(executor: Any, supply: Supply) -> None:
    """Hand on what the supply has, where little waits for the first stage."""
    (source, _), *others = executor._topology.items()
    queued = [int(state.total_enqueued_input_blocks()) for _, state in others]
    if sum(queued[:SOURCE_OPERATORS]) < _SUPPLIED_AHEAD and (table := supply.more()) is not None:
        source._input_data += ray.data.from_blocks([table])._logical_plan.dag.output_data()
        supply.rests(False)
        return
    active = any(op.num_active_tasks() for op, _ in others)
    is_at_rest = not (active or any(queued) or source.has_next())
    supply.rests(is_at_rest)
    if is_at_rest:  # there is no task that the scheduler would wait for
        time.sleep(_REST_S)


class StageWatch(ExecutionCallback):  # type: ignore[misc] # ray ships no types
    """Ray makes one for every stream and calls it at every step of its scheduler."""

    def before_execution_starts(self, executor: Any) -> None:
        """Have what Ray says that the stream may use go through `_LEFT_OUT`."""
        for supply in _SUPPLY:
            with suppress(AttributeError):  # then it ends with what it has, and others follow
                _keep_open(executor, supply)
        try:
            coordinator = executor._cluster_autoscaler._autoscaling_coordinator
            reserved = coordinator.get_reserved_resources
        except AttributeError:  # another release may have moved it: it then counts on all
            return
        coordinator.get_reserved_resources = lambda: {
            name: amounts for name, amounts in reserved().items() if name not in _LEFT_OUT
        }

    def on_execution_step(self, executor: Any) -> None:
        """Look at the operators; what cannot be seen is not shown, and never stops a run."""
        for supply in _SUPPLY:
            _add_input(executor, supply)
        try:
            if BOARD.is_due():
                _look(executor)
        except Exception:  # another release may have moved what is looked at
            BOARD.expect(())


def _look(executor: Any) -> None:
    names, found = BOARD.names, stage_operators(executor)
    if len(found) != len(names):
        return
    states = [stage_state(name, op, state) for name, (op, state) in zip(names, found, strict=True)]
    BOARD.show(tuple(states))
    with _ACTORS_LOCK:
        for operator, _ in found:
            _ACTORS.update(actors_of(operator))


def end_actors() -> None:
    """Kill the actors of the stream that is over.

    Ray Data only drops their handles. One that still stands somewhere, in a cycle or a thread that
    has not ended, keeps an idle actor and its CPUs, and the next stream would wait for ever.
    """
    with _ACTORS_LOCK:
        actors = list(_ACTORS)
        _ACTORS.clear()
    for actor in actors:
        if ray.is_initialized():  # else ray.kill would start a cluster
            ray.kill(actor)
