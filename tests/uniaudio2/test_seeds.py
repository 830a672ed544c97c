"""A row's seed is the same everywhere, for ever."""

from hypothesis import given
from hypothesis import strategies as st

from uniaudio2.seeds import row_seed


def test_recorded_values() -> None:
    assert row_seed(0, "a") == 3641334685724028737
    assert row_seed(888, "b/ü", "noise") == 2994742536111397894


@given(st.integers(), st.text(), st.text())
def test_in_range_and_sensitive(seed: int, row_id: str, other: str) -> None:
    value = row_seed(seed, row_id)
    assert 0 <= value < 2**63
    assert (row_seed(seed, other) == value) == (other == row_id)
    assert row_seed(seed + 1, row_id) != value
