"""What Ray's scheduler shows is optional: a view loses its stages, a run never stops for it.

That the real scheduler shows all stages is tested with the command line, in `test_cli.py`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.executor.stage_monitor import StageState, StageWatch, expect_stages, stage_states


def operator(rows: int, queue: int, running: int, ready: int, pending: int) -> tuple[Any, Any]:
    actors = SimpleNamespace(running=ready, pending=pending, restarting=0)
    op = SimpleNamespace(
        get_actor_info=lambda: actors,
        metrics=SimpleNamespace(rows_task_outputs_generated=rows),
        num_active_tasks=lambda: running,
    )
    return op, SimpleNamespace(total_enqueued_input_blocks=lambda: queue)


class Topology(dict[Any, Any]):
    """Operators in order; they need not be hashable here."""

    def __init__(self, *pairs: tuple[Any, Any]) -> None:
        self.pairs = pairs

    def items(self) -> Any:
        return list(self.pairs)


def executor(*pairs: tuple[Any, Any]) -> Any:
    return SimpleNamespace(_topology=Topology(*[operator(0, 0, 0, 0, 0)] * 2, *pairs))


def test_stages_are_seen_in_order() -> None:
    expect_stages(("load", "encode"))
    StageWatch().on_execution_step(executor(operator(8, 0, 1, 0, 0), operator(4, 2, 1, 1, 1)))
    assert stage_states() == (
        StageState("load", 8, 0, 1, 0, 0), StageState("encode", 4, 2, 1, 1, 1),
    )  # fmt: skip
    expect_stages(("load",))
    assert stage_states() == ()  # another stream begins


@pytest.mark.parametrize("shown", [SimpleNamespace(), executor(), executor((None, None))])
def test_what_cannot_be_seen_is_not_shown(shown: Any) -> None:
    expect_stages(("load",))
    StageWatch().on_execution_step(shown)
    assert stage_states() == ()
