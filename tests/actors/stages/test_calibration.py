from __future__ import annotations

from pathlib import Path

import pytest

from actors.stages.calibration import calibrated


def test_it_is_measured_once_for_each_machine_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ran: list[int] = []
    first = calibrated("encode", "nano-1", ran.append, 4)
    assert ran
    ran.clear()
    assert calibrated("encode", "nano-1", ran.append, 4) == first
    assert ran == []
    calibrated("encode", "nano-2", ran.append, 4)
    calibrated("decode", "nano-1", ran.append, 4)
    assert ran
