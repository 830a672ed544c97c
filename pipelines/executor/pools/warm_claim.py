"""Finds a warm stage for a worker, or has one made."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError

from actors.stages.pools import MakeStage
from pipelines.executor.nodes.late import NodeCheck
from pipelines.executor.pools.build import StageNotBuilt
from pipelines.executor.pools.warm_stage import RENEWED_EVERY_S, WarmStage

NAMESPACE = "uniaudio2-warm"
_ANSWERS_S = 2.0
_TRIES_EVERY_S = 0.2


@dataclass(frozen=True)
class WarmAsk:
    """What a worker of a pool needs to find its warm stage; it travels to where the worker starts.

    Attributes:
        key: names stages that are equal: the same code, arguments, model and owner.
        run: what the tokens of this run's workers begin with.
        keep_s: how long a stage stays after the run.
        most: stages of the pool.
        options: of its actor.
        facts: of it, for people.
    """

    key: str
    run: str
    keep_s: float
    most: int
    options: Mapping[str, Any]
    facts: Mapping[str, Any]

    def names(self) -> frozenset[str]:
        """Of all actors that may keep such a stage."""
        return frozenset(f"{self.key}-{slot}" for slot in range(self.most))


def named_actors() -> frozenset[str]:
    """Names of all warm stages of the cluster."""
    every = ray.util.list_named_actors(all_namespaces=True)
    return frozenset(one["name"] for one in every if one["namespace"] == NAMESPACE)


def found(name: str) -> Any:
    """The actor of a name; None where it has ended."""
    try:
        return ray.get_actor(name, NAMESPACE)
    except ValueError:
        return None


class WarmClaim:
    """A warm stage that a worker has for itself.

    Those that are there are asked first. Where none of them is free one is made, which may have to
    wait for room that they hold: so they are asked on, and whichever answers first is taken.

    Args:
        ask: which.
        kind: makes the stage, where there is none yet.
        arguments: of it.
        check: what its node is held against.

    Attributes:
        actor: keeps the stage.
        why_not: its node does not fit; "" where it does.
    """

    def __init__(
        self, ask: WarmAsk, kind: MakeStage, arguments: dict[str, Any], check: NodeCheck | None
    ) -> None:
        self._ask, self._kind, self._arguments, self._check = ask, kind, arguments, check
        self._token = f"{ask.run}/{uuid.uuid4().hex}"
        self._asked: dict[str, tuple[Any, Any]] = {}  # actor and its answer to be, by name
        self._made = ""
        self.actor, self.why_not = self._first()
        self._let_go()
        threading.Thread(target=self._renew, daemon=True).start()

    def _first(self) -> tuple[Any, str]:
        """The first that is free."""
        begun = time.monotonic()
        while True:
            there = self._ask.names() & named_actors()
            for name in sorted(there - self._asked.keys()):
                self._claim(name, found(name))
            free = sorted(self._ask.names() - there)
            waited_s = time.monotonic() - begun
            if not self._made and free and (not there or waited_s > _ANSWERS_S):
                self._made = free[uuid.uuid4().int % len(free)]
                self._claim(self._made, self._make(self._made))
            for name in self._answered():
                actor, answer = self._asked.pop(name)
                why_not = self._outcome(answer)
                if why_not is not None:
                    return actor, why_not
                self._made = "" if name == self._made else self._made
            time.sleep(_TRIES_EVERY_S)

    def _claim(self, name: str, actor: Any) -> None:
        if actor is not None:
            answer = actor.claim.remote(self._token, self._ask.keep_s, self._check)
            self._asked[name] = actor, answer

    def _make(self, name: str) -> Any:
        options = {k: value for k, value in self._ask.options.items() if value is not None}
        made = ray.remote(WarmStage).options(
            name=name, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, **options
        )
        facts = dict(self._ask.facts)
        return made.remote(facts["stage"], self._kind, self._arguments, facts, self._ask.keep_s)

    def _answered(self) -> list[str]:
        by_answer = {answer: name for name, (_, answer) in self._asked.items()}
        if not by_answer:
            return []
        ready, _ = ray.wait([*by_answer], num_returns=1, timeout=_ANSWERS_S)
        return [by_answer[answer] for answer in ready]

    @staticmethod
    def _outcome(answer: Any) -> str | None:
        """What a claim came to; None where another has it, or it is gone.

        Raises:
            RayActorError: its stage cannot be built.
        """
        try:
            why_not: str | None = ray.get(answer)
        except RayActorError as fault:
            if StageNotBuilt.__name__ in str(fault):
                raise
            return None
        return why_not

    def _let_go(self) -> None:
        """Give up what was asked for besides; one that still waits for room is not needed."""
        for name, (actor, _) in self._asked.items():
            if name == self._made:
                ray.kill(actor)
            else:
                actor.release.remote(self._token)

    def _renew(self) -> None:
        while True:
            time.sleep(RENEWED_EVERY_S)
            self.actor.renew.remote(self._token)
