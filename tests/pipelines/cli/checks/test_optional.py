from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pipelines.cli.checks import optional
from pipelines.cli.checks.optional import (
    OPTIONAL,
    check_disk,
    check_espeak,
    check_formats,
    check_ram,
    check_scores,
)
from uniaudio2.scores.table import SCORERS


def test_each_passes_whatever_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert all(check().passed for _, check in OPTIONAL)


def test_little_memory_is_told(tmp_path: Path) -> None:
    facts = tmp_path / "meminfo"
    facts.write_text("MemTotal:  8000000 kB\nMemAvailable:  1000000 kB\n")
    found = check_ram(facts)
    assert found.found.startswith("1.0 GB free of 8.2 GB, for ")
    assert "nano needs" in found.hint
    facts.write_text("MemTotal:  8000000 kB\nMemAvailable:  7000000 kB\n")
    assert check_ram(facts).hint == ""
    assert "not told" in check_ram(tmp_path / "none").found


def test_disks_say_what_they_are_for() -> None:
    found = check_disk().found
    assert "for results" in found
    assert "for models" in found


def test_formats_and_the_voice_say_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(optional, "version", missing)
    assert "lhotse (INPUT and export" in check_formats().hint
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no run needs it" in check_espeak().hint


def test_packages_of_scores_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "silero-vad" in check_scores().found
    hint = "without scorers speaker_similarity: `pip install --no-deps resemblyzer`, if wanted"
    assert check_scores().hint == (hint if SCORERS["speaker_similarity"].missing else "")
    for module in ("uniaudio2.scores.spec", "pipelines.cli.checks.optional"):
        monkeypatch.setattr(f"{module}.installed", lambda name: None)
    found = check_scores()
    assert found.passed
    assert found.found == "none of them is installed"
    assert (
        "without scorers speech, dnsmos, snr, rate, speaker_similarity: `pip install" in found.hint
    )
    assert "[score]' and pip install --no-deps resemblyzer`" in found.hint
