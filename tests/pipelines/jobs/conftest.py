"""A run that several files of tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.jobs.attempted import run, texts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(texts(folder), folder / "out")
    return folder / "out"
