"""``run.json`` as it is read: anyone may have written it, so its shape is checked before its use.

What is checked is what commands read. Nothing but the shape is: any text may hold anything, and
passes `shown` on its way to a person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import UsageError
from pipelines.manifest.tables.options import NEW_IDS, IdsBefore
from pipelines.run_state.commit_record import newer_format
from uniaudio2.shown import shown

MOST_BYTES = 64 << 20
_DEEPEST = 64
_LAST_MOMENT = 253_402_300_799.0  # the end of the year 9999

Count = Annotated[int, Field(ge=0, le=10**15)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=_LAST_MOMENT, allow_inf_nan=False)]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Job(_Facts):
    task: str = ""
    model: str = ""
    seed: int = 0
    definition: dict[str, Any] = {}


class _Config(_Facts):
    model: str = ""


class _Model(_Facts):
    name: str = ""
    trained: bool = False


class _LeftOut(_Facts):
    what: str
    why: str
    by_suffix: dict[str, Count]


class _Input(_Facts):
    sources: list[str] = []
    source_count: Count = 0
    rows: Count = 0
    units: Count = 0
    other_rows: Count = 0
    later_files: Count = 0
    former_ids: bool = False
    settled_ids: bool = False
    columns: list[str] = []
    columns_read: list[str] | None = None
    left_out: list[_LeftOut] = []
    notes: list[str] = []


class _Pool(_Facts):
    name: str
    min_size: Amount
    num_cpus: Amount


class _Setup(_Facts):
    cpus: Amount = 0.0
    gpus: Amount = 0.0
    task_cpus: Amount = 0.0
    pools: list[_Pool] = []


class _Node(_Facts):
    host: str = ""
    address: str = ""


class _Run(_Facts):
    state: str = ""
    job: _Job
    config: _Config = _Config()
    model: _Model = _Model()
    input: _Input = _Input()
    setup: _Setup = _Setup()
    nodes: list[_Node] = []
    begins: list[Moment] = []
    started: Moment = 0.0
    ended: Moment | None = None
    versions: dict[str, str] = {}
    seal: str = ""


def rows_of(facts: Mapping[str, Any]) -> int:
    """How many rows an OUTPUT will hold: those of INPUT, and committed ones that are none of it."""
    rows, others = facts["input"]["rows"], facts["input"].get("other_rows", 0)
    return int(rows) + int(others)


def ids_before(facts: Mapping[str, Any] | None) -> IdsBefore:
    """How the rows of an OUTPUT got their ids, by its ``run.json``; None where it has none."""
    if facts is None:
        return NEW_IDS
    known = facts.get("input", {})
    return IdsBefore(
        former=facts.get("format_version", 1) < 2 or bool(known.get("former_ids")),
        settled=bool(known.get("settled_ids")),
    )


def parse_run(data: bytes) -> dict[str, Any]:
    """The facts of a ``run.json``, those that are there.

    Raises:
        ValueError: it is none; the message holds nothing of it.
    """
    try:
        facts = json.loads(data)
    except RecursionError as fault:
        raise ValueError("its values are nested too deep") from fault
    except ValueError as fault:
        raise ValueError("it is no JSON") from fault
    if isinstance(facts, dict) and (why := newer_format(facts.get("format_version", 1))):
        raise ValueError(why)
    if not isinstance(facts, dict) or "job" not in facts:
        raise ValueError("it tells of no job")
    if _depth_exceeds(facts, _DEEPEST):
        raise ValueError("its values are nested too deep")
    try:
        _Run.model_validate(facts)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        where = shown(".".join(map(str, first["loc"])))
        raise ValueError(f"{where}: {shown(first['msg'])}") from None
    return facts


def _depth_exceeds(value: Any, deepest: int) -> bool:
    level = [value]
    for _ in range(deepest):
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        if not inner:
            return False
        level = inner
    return True


def require(facts: Mapping[str, Any], output: str, *names: str) -> None:
    """Refuse a ``run.json`` that lacks what a command is about to read.

    Args:
        facts: as `parse_run` gave them.
        output: the OUTPUT that it is of.
        names: dotted names of facts.

    Raises:
        UsageError: names the first that is not there.
    """
    for name in names:
        place: Any = facts
        for key in name.split("."):
            place = place.get(key) if isinstance(place, Mapping) else None
        if place is None:
            raise UsageError(
                f"{output}/run.json is not a whole run record: it lacks {name}; "
                "`uniaudio2 run` with the arguments of the run writes it anew"
            )
