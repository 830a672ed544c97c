"""How much audio a prompt takes follows from task, model and job."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.planning.span_policy import prompt_seconds, span_rule
from uniaudio2.checkpoint.folders import BUNDLED, load_config
from uniaudio2.codec.segments import segments_needed
from uniaudio2.config import ModelConfig

FULL, NANO = ModelConfig(name="full"), load_config(BUNDLED / "nano")


def job(task: str, **settings: Any) -> JobConfig:
    return JobConfig(task=task, input="in", output="out", **settings)


@pytest.mark.parametrize("model", [FULL, NANO], ids=["full", "nano"])
def test_a_span_is_one_segment_of_the_codec(model: ModelConfig) -> None:
    rule = span_rule(job("asr"), model)
    assert rule is not None
    samples = round(rule.max_s * 24_000)
    assert segments_needed(samples, model.codec) == 1
    assert segments_needed(samples + 240, model.codec) == 2
    assert rule.pause_s == rule.max_s / 8


def test_a_small_context_makes_short_spans() -> None:
    small = FULL.model_copy(update={"lm": FULL.lm.model_copy(update={"context": 1000})})
    rule = span_rule(job("asr"), small)
    assert rule is not None and rule.max_s == pytest.approx((1000 - 500 - 128) / 17.5)


def test_the_job_may_choose_within_the_context() -> None:
    rule = span_rule(job("asr", spans={"max_s": 60, "pause_s": 0.6}), FULL)
    assert rule is not None and (rule.max_s, rule.pause_s) == (60, 0.6)
    with pytest.raises(UsageError, match=r"spans.max_s 90 does not fit.*81.1 s beside 500 of"):
        span_rule(job("asr", spans={"max_s": 90}), FULL)


@pytest.mark.parametrize(
    ("task", "settings", "limit_s"),
    [
        ("asr", {}, inf),
        ("asr", {"until": "encode"}, inf),
        ("tokenize", {}, inf),
        ("tts", {}, inf),
        ("audio_caption", {}, 2048 / 17.5),
        ("audio_caption", {"until": "encode"}, inf),
        ("speech_s2s", {}, 2048 / 17.5),
    ],
)
def test_what_fits_no_prompt_is_refused_where_it_is_not_cut(
    task: str, settings: dict[str, Any], limit_s: float
) -> None:
    assert prompt_seconds(job(task, **settings), FULL) == limit_s
    assert (span_rule(job(task, **settings), FULL) is not None) == (task == "asr" and not settings)


def test_what_is_decoded_again_may_be_an_hour_long_other_audio_a_day() -> None:
    assert job("tokenize").max_duration_s == job("asr").max_duration_s == 86_400
    assert job("reconstruct").max_duration_s == 3600
    assert job("reconstruct", until="encode").max_duration_s == 86_400
    assert job("asr", load={"max_duration_s": 5}).max_duration_s == 5
