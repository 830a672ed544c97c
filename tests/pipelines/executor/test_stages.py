"""Columns of every task's stages, and what is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.batch.schema import ALWAYS, check_stages
from pipelines import UsageError, run_job
from pipelines.executor import stages
from pipelines.executor.stages import stage_columns
from tests.pipelines.jobs.test_faults import job
from uniaudio2.tasks.table import TASKS, get_task


@pytest.mark.parametrize("keep_codes", [False, True])
@pytest.mark.parametrize("idle", [(), ("encode",)])
@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_stages_of_every_task_fit(name: str, idle: tuple[str, ...], keep_codes: bool) -> None:
    there = check_stages(stage_columns(get_task(name), idle, keep_codes))
    assert set(ALWAYS) <= set(there)


def test_a_stage_that_reads_what_none_writes_is_refused_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconstruct = get_task("reconstruct").model_copy(update={"stages": ("load", "decode")})
    columns = stage_columns(reconstruct)
    del columns["load"]
    monkeypatch.setattr(stages, "stage_columns", lambda *_: columns)
    with pytest.raises(UsageError, match="stage 'decode' reads column"):
        run_job(job(tmp_path))
    assert not list(tmp_path.iterdir()), "nothing was started or written"
