"""Sets of unit numbers as runs of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.run_state.records import UnitRuns

RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=12)


@given(RUNS)
def test_runs_are_the_set_of_their_numbers(found: list[tuple[int, int]]) -> None:
    runs = UnitRuns()
    for first, more in found:
        runs.add([(first, first + more)])
    numbers = {n for first, more in found for n in range(first, first + more + 1)}
    assert {n for n in range(70) if n in runs} == numbers
    assert runs.runs == sorted(runs.runs)
    assert all(later[0] > before[1] + 1 for before, later in zip(runs.runs, runs.runs[1:]))  # noqa: B905 - pairs of neighbours
    assert UnitRuns(runs.runs).runs == runs.runs
