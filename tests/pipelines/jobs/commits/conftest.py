"""What runs of forty rows read and write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.jobs.commits.test_compaction import ROWS
from tests.pipelines.jobs.test_pending import write_lines


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_lines(tmp_path / "m.jsonl", ROWS)


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path / "out")
