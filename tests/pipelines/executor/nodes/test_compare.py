"""What is refused of a node and what is told of it: a table of differences."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.executor.nodes.compare import (
    OURS,
    SAME,
    TOLD,
    Needs,
    clock_of_store,
    judge,
    summary,
)
from pipelines.executor.nodes.look import Look

NEEDS = Needs("/shared/out", ("/in/a.wav",), "/models/m")
HERE = Look(
    versions={**dict.fromkeys((*SAME, *TOLD), "2.1.0"), OURS: "0.9.0"},
    code="c0de",
    sizes={"/in/a.wav": 5, "/in": 0},
    model={"config.json": "10:aa", "model.safetensors": "3000000000:bb"},
    model_fault="",
    output_fault="",
    free_bytes={"output": 1 << 40, "tmp": 1 << 40, "ray": 1 << 40},
    full={"output": 0.5, "tmp": 0.5, "ray": 0.5},
    memory_bytes=8_000_000_000,
    clock_s=1000.0,
)


def versions(**other: str) -> dict[str, Any]:
    return {"versions": {**HERE.versions, **other}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code": ""}, "node n has no UniAudio2 Batch"),
        (
            {"code": "beef", **versions(**{OURS: "0.8.0"})},
            "node n has another UniAudio2 Batch, 0.8.0 (code beef), than this process, 0.9.0 (code",
        ),
        (versions(torch="2.2.0"), "node n has torch 2.2.0, and this process 2.1.0"),
        (versions(transformers=""), "node n has transformers not at all, and this process 2.1.0"),
        ({"output_fault": "is another"}, "OUTPUT '/shared/out' is another folder on node n"),
        ({"sizes": {"/in/a.wav": 5, "/in": None}}, "INPUT '/in' is not on node n"),
        ({"sizes": {"/in/a.wav": 6, "/in": 0}}, "INPUT '/in/a.wav' is not on node n"),
        ({"model": {**HERE.model, "config.json": ""}}, "model '/models/m' is not on node n as it"),
        ({"model": {**HERE.model, "config.json": "10:ab"}}, "('config.json' differs there)"),
        ({"model_fault": "OSError: no"}, "model '/models/m' cannot be had on node n: OSError: no"),
    ],
)
def test_what_would_change_results_is_refused(change: dict[str, Any], words: str) -> None:
    judged = judge("n", NEEDS, HERE, HERE._replace(**change), 1000.0, 1000.0)
    assert len(judged.refused) == 1
    assert words in judged.refused[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (versions(python="2.1.1"), "node n has python 2.1.1 (here 2.1.0)"),
        (versions(av=""), "node n has av not at all (here 2.1.0)"),
        ({"clock_s": 1010.0}, "the clock of node n is 9 s ahead of this machine's"),
        ({"clock_s": 900.0}, "the clock of node n is 100 s behind this machine's"),
        (
            {"free_bytes": {"output": 5 << 20}},
            "has 5 MB of disk free for OUTPUT '/shared/out'",
        ),
        ({"free_bytes": {"tmp": 5 << 20}}, "has 5 MB of disk free for its temporary files"),
        ({"full": {"ray": 0.97}}, "the disk of Ray's folder is 97% full"),
        ({"memory_bytes": 2_000_000_000}, "has 2.0 GB of memory free, and the files of model"),
    ],
)
def test_what_changes_none_is_told(change: dict[str, Any], words: str) -> None:
    judged = judge("n", NEEDS, HERE, HERE._replace(**change), 1000.0, 1001.0)
    assert judged.refused == ()
    assert len(judged.warnings) == 1
    assert words in judged.warnings[0]


@pytest.mark.parametrize(
    ("change", "answered_s"),
    [
        ({}, 1000.0),
        (versions(torch="2.1.0+cu128"), 1000.0),  # a node with a GPU beside one without
        ({"memory_bytes": 0}, 1000.0),  # unknown
        ({"free_bytes": {}, "full": {}}, 1000.0),
        ({"clock_s": 1029.0}, 1030.0),  # its worker took that long to start
    ],
)
def test_what_is_no_difference_is_passed_over(change: dict[str, Any], answered_s: float) -> None:
    judged = judge("n", NEEDS, HERE, HERE._replace(**change), 1000.0, answered_s)
    assert (judged.refused, judged.warnings) == ((), ())


def test_a_clock_that_a_store_refuses() -> None:
    assert clock_of_store(None) == clock_of_store(-100.0) == []
    assert "clock is 1000 s ahead of the store's: S3 refuses" in clock_of_store(1000.0)[0]
    assert "clock is 400 s behind the store's" in clock_of_store(-400.0)[0]


def test_the_line_tells_what_was_looked_at() -> None:
    assert summary(NEEDS, HERE, 0, 0.02) == (
        "same code, INPUT, OUTPUT and model there, clocks within 0.1 s"
    )
    alone = HERE._replace(sizes={}, model={}, free_bytes={"tmp": 1})
    assert summary(NEEDS, alone, 2, 7.31) == "same code, clocks within 7.3 s; 2 warnings"
