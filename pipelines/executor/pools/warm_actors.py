"""The warm stages of a cluster, for a driver: asked for, told of, ended."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from actors.stages.pools import MakeStage
from pipelines.executor.nodes.compare import CODE
from pipelines.executor.nodes.look import code_hash
from pipelines.executor.pools.fingerprint import fingerprint
from pipelines.executor.pools.warm_claim import WarmAsk, found, named_actors
from pipelines.planning.pool_sizing import Pool

_ANSWERS_S = 3.0
_SPARE_CALLS = 4  # claims, renewals and questions beside units


def owner() -> str:
    """Whose warm stages those are that are made here: the user, and the machine it is a user of."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def warm_asks(
    pools: Sequence[Pool],
    stages: Mapping[Any, tuple[MakeStage, dict[str, Any]]],
    run: str,
    keep_s: float,
    calls: int,
) -> dict[str, WarmAsk]:
    """What each pool of a run asks for.

    Args:
        pools: their sizes.
        stages: what makes each one's stage, and its arguments.
        run: of this run alone.
        keep_s: how long a stage stays after the run.
        calls: units at once.
    """
    code, who = code_hash(CODE), owner()
    asks: dict[str, WarmAsk] = {}
    for pool in pools:
        kind, arguments = stages[pool.name]
        model = str(arguments.get("model", ""))
        digest = hashlib.blake2b(fingerprint((kind, arguments)).encode(), digest_size=12)
        sizes = (str(pool.num_cpus), str(pool.num_gpus), str(sorted(pool.resources.items())))
        for part in (code, who, *sizes, *_files(model)):
            digest.update(part.encode() + b"\0")
        options = {
            "num_cpus": pool.num_cpus,
            "num_gpus": pool.num_gpus or None,
            "resources": pool.resources or None,
            "max_concurrency": calls + _SPARE_CALLS,
        }
        facts = {"stage": pool.name, "model": model, "owner": who}
        asks[pool.name] = WarmAsk(digest.hexdigest(), run, keep_s, pool.min_size, options, facts)
    return asks


def _files(model: str) -> Iterator[str]:
    """Marks of a local model's files: where one changes, it is another model."""
    folder = Path(model)
    if "://" not in model and folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                seen = path.stat()
                yield f"{path.relative_to(folder)}:{seen.st_size}:{seen.st_mtime_ns}"


def warm_actors(names: Collection[str] | None = None) -> list[tuple[Any, dict[str, Any]]]:
    """Warm stages of the cluster that answer, and what they say of themselves.

    Args:
        names: of those that are asked; None for all.
    """
    chosen = named_actors() if names is None else names
    actors = {name: actor for name in sorted(chosen) if (actor := found(name)) is not None}
    answers = {name: actor.facts.remote() for name, actor in actors.items()}
    ray.wait([*answers.values()], num_returns=len(answers), timeout=_ANSWERS_S)
    told = []
    for name, answer in answers.items():
        try:
            facts = ray.get(answer, timeout=0)
        except (GetTimeoutError, RayActorError):  # it waits for room, loads its model, or is gone
            continue
        told.append((actors[name], {"name": name, **facts}))
    return told


def release(asks: Mapping[str, WarmAsk]) -> None:
    """A run is over: the next one may have its stages at once.

    Args:
        asks: of the run. What still waits for room, or loads its model, is ended: no run needs it.
    """
    names = frozenset[str]().union(*(ask.names() for ask in asks.values())) & named_actors()
    answering = {facts["name"]: actor for actor, facts in warm_actors(names)}
    for ask in asks.values():
        for name in ask.names() & names:
            if name in answering:
                answering[name].release.remote(ask.run)
            elif (actor := found(name)) is not None:
                ray.kill(actor)


def make_room(pools: Sequence[Pool], asks: Mapping[str, WarmAsk]) -> int:
    """End idle stages of this user that a run does not ask for, where it would wait for their room.

    Args:
        pools: of the run.
        asks: by pool; of a pool without one all actors are new.

    Returns:
        how many were ended.
    """
    warm = warm_actors()
    there = {facts["name"] for _, facts in warm}
    free = ray.available_resources()
    lacking = {"CPU": 0.0, "GPU": 0.0}
    wanted: set[str] = set()
    for pool in pools:
        names = asks[pool.name].names() if pool.name in asks else frozenset()
        wanted |= names
        new = max(pool.min_size - len(names & there), 0)
        lacking["CPU"] += new * pool.num_cpus
        lacking["GPU"] += new * pool.num_gpus
    if not warm or all(free.get(name, 0.0) + 1e-6 >= need for name, need in lacking.items()):
        return 0
    return end(facts["name"] for _, facts in warm if facts["name"] not in wanted)


def end(names: Any = None) -> int:
    """End idle stages of this user.

    Args:
        names: of those that may be; None for all.

    Returns:
        how many were.
    """
    chosen = None if names is None else set(names)
    count = 0
    for actor, facts in warm_actors():
        is_ours = facts["owner"] == owner() and facts["ends_in_s"] is not None
        if is_ours and (chosen is None or facts["name"] in chosen):
            ray.kill(actor)
            count += 1
    return count
