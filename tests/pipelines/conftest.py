"""Whole runs without a cluster, for tests of what does not depend on one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipelines.jobs import row_isolation, run
from tests.pipelines.inline import stream_inline

RESOURCES = {"CPU": 2.0}


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test need no Ray."""
    monkeypatch.setattr(run, "ray", SimpleNamespace(cluster_resources=lambda: RESOURCES))
    monkeypatch.setattr(run, "start_ray", lambda *_: None)
    for place in (run, row_isolation):
        monkeypatch.setattr(place, "stream_units", stream_inline)
