"""Keys of units in memory and in a file."""

from __future__ import annotations

import pytest

from actors.batch.unit import UnitSpec
from pipelines.planning.keys import held_keys


def test_keys_come_back_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_keys, "_MOST_IN_MEMORY", 50)
    held = held_keys.HeldKeys()
    given = [bytes([number]) * 20 for number in range(5)]
    kept = [held.hold(keys) for keys in given]
    assert [isinstance(keys, bytes) for keys in kept] == [True, True, False, False, False]
    units = [UnitSpec(0, "", 0, 1, "", "", keys=keys) for keys in kept]
    assert [unit.row_keys for unit in units] == given
    assert units[4].to_table().schema == units[0].to_table().schema  # they do not travel
