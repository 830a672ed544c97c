"""``run.json`` of anyone: its shape is checked, and what is wrong is one line without its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.errors import UsageError
from pipelines.run_state.run_facts import parse_run, require

GOOD: dict[str, Any] = {
    "state": "finished", "job": {"task": "tts", "model": "m", "seed": 1}, "started": 1.0,
    "ended": None, "input": {"rows": 3, "units": 1, "sources": ["a"]}, "begins": [1.0],
    "setup": {"cpus": 2.0, "pools": [{"name": "decode", "min_size": 1, "num_cpus": 1.0}]},
}  # fmt: skip


def parse(facts: Any) -> dict[str, Any]:
    return parse_run(json.dumps(facts).encode())


def test_what_a_run_writes_comes_back_as_it_is() -> None:
    assert parse(GOOD) == GOOD
    assert parse({"job": {}, "new": [1]}) == {"job": {}, "new": [1]}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "change",
    [
        {"job": []}, {"job": None}, {"state": 3}, {"input": "x"}, {"input": {"rows": -1}},
        {"input": {"rows": "3"}}, {"input": {"rows": 1.5}}, {"input": {"rows": True}},
        {"input": {"sources": [1]}}, {"input": {"rows": 10**400}}, {"started": "now"},
        {"started": float("nan")}, {"started": 1e300}, {"begins": [float("inf")]},
        {"setup": {"cpus": -1}}, {"setup": {"pools": [{}]}}, {"versions": {"a": 1}},
        {"config": [1]}, {"config": {"model": {}}}, {"job": {"definition": "x"}}, {"x": nested(99)},
    ],
)  # fmt: skip
def test_a_wrong_shape_is_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refused:
        parse({**GOOD, **change})
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("data", [b"the secret line", b"\xff\xfe", b"[" * 200_000, b"[1]", b"{}"])
def test_what_is_no_json_of_ours_is_one_line(data: bytes) -> None:
    with pytest.raises(ValueError) as refused:
        parse_run(data)
    assert "secret" not in str(refused.value)


def test_what_a_command_reads_must_be_there() -> None:
    require(GOOD, "out", "state", "job.task", "input.rows")
    for name in ("config", "job.definition", "input.rows.x", "ended"):
        with pytest.raises(UsageError, match=f"lacks {name}"):
            require(GOOD, "out", name)


@pytest.mark.parametrize("version", [4, 10**30])
def test_a_newer_format_is_refused_and_says_so(version: int) -> None:
    facts = {"format_version": version, "whatever": "shape"}
    with pytest.raises(ValueError, match=r"newer build.* reads up to 3: update"):
        parse_run(json.dumps(facts).encode())


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.5, [1]])
def test_a_version_that_is_none(version: object) -> None:
    with pytest.raises(ValueError, match="format version"):
        parse_run(json.dumps({"format_version": version, "job": {}}).encode())


def test_what_bears_no_version_is_of_the_first() -> None:
    assert parse_run(b'{"job": {}}') == {"job": {}}
