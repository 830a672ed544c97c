"""What a run leaves behind in the process of whoever called it: nothing."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import ray.data

from pipelines import JobConfig, run_job
from pipelines.errors import RunFailed
from pipelines.executor.ray_settings import log_level, own_data_context, quiet


def _settings() -> dict[str, Any]:
    context = ray.data.DataContext.get_current()
    return {
        "data": {name: repr(value) for name, value in vars(context).items()},
        "same": id(context),
        "levels": {name: logging.getLogger(name).level for name in ("ray", "ray.data")},
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": Path.cwd(),
        "signals": signal.getsignal(signal.SIGTERM),
    }


@pytest.mark.usefixtures("cluster")
def test_a_run_leaves_ray_data_and_python_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("yes\nno\n")
    before = _settings()
    assert ray.data.DataContext.get_current().max_errored_blocks == 0
    job = JobConfig(task="tts", input=str(tmp_path / "a.txt"), output=str(tmp_path / "out"),
                    model="tiny")  # fmt: skip
    assert run_job(job).exit_code == 0
    after = _settings()
    assert {name for name in before if before[name] != after[name]} == set()
    # and the next job of this process loses no failed block
    with pytest.raises(Exception, match="division"):
        ray.data.range(3).map(lambda row: {"x": 1 // row["id"]}).take_all()


def test_they_are_given_back_when_it_fails(tmp_path: Path) -> None:
    before = _settings()
    with (
        pytest.raises(RunFailed),
        quiet(),
        log_level(False),
        own_data_context(5.0) as context,
    ):
        assert ray.data.DataContext.get_current() is context
        assert context.max_errored_blocks == -1
        assert logging.getLogger("ray.data").level == logging.CRITICAL
        assert "RAY_BACKEND_LOG_LEVEL" in os.environ
        raise RunFailed("x")
    assert _settings() == before


def test_what_the_user_set_for_ray_data_holds_for_a_run() -> None:
    context = ray.data.DataContext.get_current()
    old = context.op_resource_reservation_ratio
    context.op_resource_reservation_ratio = 0.25
    try:
        with own_data_context(5.0) as own:
            assert own.op_resource_reservation_ratio == 0.25
    finally:
        context.op_resource_reservation_ratio = old
