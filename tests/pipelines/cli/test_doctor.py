"""The doctor finds what is broken, and says what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from actors.storage.object_store import Storage
from pipelines.cli import doctor
from pipelines.cli.commands import main
from uniaudio2.checkpoint.folders import BUNDLED


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["uniaudio2", "doctor", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(str(end.value.code))


@pytest.mark.usefixtures("cluster")
def test_a_machine_that_is_ready(
    tmp_path: Path,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storages = ("--storage", str(tmp_path), "--storage", f"{bucket}/below")
    assert _run(monkeypatch, "--model", "tiny", *storages) == 0
    said = capsys.readouterr().out
    for name in ("python", "torch", "torchaudio", "ray", "model"):
        assert f"ok     {name}" in said
    assert "; each asks for the token\n" in said  # also of what serves metrics, for nothing does
    assert said.count("reads, writes, conditional writes") == 2
    assert said.endswith("all checks passed\n")
    assert not list(tmp_path.iterdir())
    assert Storage(bucket).list("") == []


@pytest.mark.usefixtures("cluster")
def test_what_is_broken_is_said_and_the_rest_still_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "--model", "tinny", "--storage", "/proc/nothing") == 1
    said = capsys.readouterr().out
    assert "FAILED model" in said
    assert "did you mean 'tiny'" in said
    assert "FAILED storage" in said
    assert "permissions" in said
    assert re.search(r"\n2 of \d+ checks failed\n$", said)


def test_a_model_is_found_wherever_a_run_would_find_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path))
    for name in ("config.json", "tokenizer/tokenizer.json"):
        Storage(f"{bucket}/tiny").put(name, (BUNDLED / "tiny" / name).read_bytes())
    assert doctor.check_model(f"{bucket}/tiny").passed


def test_a_store_that_ignores_conditions(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Storage, "has_conditional_writes", lambda *_: False)
    found = doctor.check_storage(f"{bucket}/below")
    assert not found.passed
    assert "If-None-Match" in found.remedy
    found = doctor.check_storage(str(tmp_path))
    assert found.passed
    assert "no other machine writes there" in found.hint


def test_an_old_python() -> None:
    assert not doctor.check_python((3, 10, 2)).passed


def test_a_driver_that_torch_does_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert "built for CUDA" in doctor.check_torch().remedy
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert doctor.check_torch().passed
