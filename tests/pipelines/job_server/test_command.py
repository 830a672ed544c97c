"""What a job runs is what was typed; what would mean something else there is refused."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from pipelines import JobConfig, UsageError
from pipelines.job_server.command import check_places, entrypoint


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("run asr s3://b/in /out --detach", "run asr s3://b/in /out"),
        ("run asr --address http://h:8265 /in /out --detach --seed 7", "run asr /in /out --seed 7"),
        ("run asr /in /out --address=auto --working-dir=. --detach", "run asr /in /out"),
        ("run asr --working-dir . -- --detach /out", "run asr -- --detach /out"),
        ("run asr '/in put/*.wav' '/o;ut' --set 'a=$HOME'", None),
    ],
)
def test_the_command_is_what_was_typed_but_for_where_it_goes(typed: str, runs: str | None) -> None:
    assert entrypoint(shlex.split(typed)) == f"uniaudio2 {typed if runs is None else runs}"


def job(**given: Any) -> JobConfig:
    return JobConfig(**{"task": "asr", "input": "/in", "output": "/out", **given})


def test_places_that_mean_the_same_everywhere_are_taken() -> None:
    check_places(job(), None, None)
    check_places(job(input="s3://b/in", output="s3://b/out", model="tiny"), "/shared/c.yaml", None)
    check_places(job(input="in", model="models/mine"), "c.yaml", ".")


@pytest.mark.parametrize(
    ("given", "config", "words"),
    [
        ({"output": "out"}, None, "OUTPUT 'out' is relative"),
        ({"input": "in"}, None, "INPUT 'in' is relative"),
        ({"model": "models/mine"}, None, "--model 'models/mine' is relative"),
        ({}, "c.yaml", "--config 'c.yaml' is relative"),
        ({"prompts": "p.yaml"}, None, "prompts 'p.yaml' is relative"),
    ],
)
def test_relative_places_are_refused(given: dict[str, Any], config: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_places(job(**given), config, None)


def test_output_is_absolute_and_the_folder_there_also_where_one_is_sent() -> None:
    with pytest.raises(UsageError, match="OUTPUT 'out' is relative"):
        check_places(job(output="out"), None, ".")
    with pytest.raises(UsageError, match="is no folder"):
        check_places(job(), None, "/not/there")
