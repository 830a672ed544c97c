from __future__ import annotations

import pytest

from benchmarks import scale
from pipelines.config.job import JobConfig
from pipelines.forecast import requests
from pipelines.forecast.requests import requests_of
from tests.test_scale import MEASURED


def test_the_model_is_that_of_the_page() -> None:
    figures = {name: value for name, (value, _) in MEASURED.items()}
    others = figures["nodes.requests_per_unit_8"] - figures["nodes.puts_per_unit_8"]
    assert pytest.approx(others) == requests.OTHER_PER_UNIT
    assert (scale.PUT_PRICE, scale.GET_PRICE) == (requests.PUT_PRICE, requests.GET_PRICE)


def test_requests_of_a_run_over_stores() -> None:
    job = JobConfig(task="tokenize", input="s3://bucket/in", output="s3://bucket/out")
    found = requests_of(job, 32_000, 1000, 1000, 2 * job.parts.target_bytes, wall_s=200.0)
    assert found.puts == 1000 + 101 + 2
    assert found.others == pytest.approx(2917 + 1000)
    assert found.gets == 32_000
    assert found.price == pytest.approx(1103 * 5e-6 + (3917 + 32_000) * 4e-7)


def test_a_disk_costs_no_requests() -> None:
    job = JobConfig(task="tokenize", input="in", output="out")
    assert requests_of(job, 32_000, 1000, 1000, 0, wall_s=200.0).price == 0
    text = JobConfig(task="tts", input="s3://bucket/in", output="out")
    assert requests_of(text, 32_000, 1000, 1000, 0, wall_s=200.0).gets == 0
