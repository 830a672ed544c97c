"""Builds a stage where it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.batch.table import Stage
from actors.stages.pools import MakeStage


class StageNotBuilt(Exception):
    """A stage's constructor raised: its name, and class and first line of what it was."""


def build_stage(name: str, kind: MakeStage, arguments: Mapping[str, Any]) -> Stage:
    """Build a stage where it works.

    Raises:
        StageNotBuilt: it cannot be built there: a package is missing, a model does not load.
    """
    try:
        return kind(**arguments)
    except Exception as fault:
        first_line = (str(fault).strip().splitlines() or [""])[0]
        raise StageNotBuilt(f"{name}: {type(fault).__name__}: {first_line}") from fault
