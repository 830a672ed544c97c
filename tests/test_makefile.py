"""`make clean` removes what the repository made, and nothing that a variable from outside names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = (".venv", "demo-output", ".mypy_cache", "build", "site", "x.egg-info")


def make(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    outside.pop("DEMO_OUTPUT", None)
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=folder, env={**outside, **variables},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder like the repository's, with things beside and in it that are to stay."""
    folder = tmp_path / "repository"
    for name in (*OURS, "data", "../precious", "demo-output-2"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} | {
        path.name for path in folder.parent.iterdir()
    }


STAYS = {"repository", "precious", "Makefile", "data", "demo-output-2"}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    "value",
    [
        "{folder}/data", "..", "../precious", "data", "demo-output data",
        "demo-output; rm -rf data", "demo-output/../data", "$(shell touch made)",
        "$$(touch made)", "`touch made`",
        "'", "", "/", "*", "demo-output\nrm -rf data", "./demo-output", "-rf", "${{HOME}}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", [("clean",), ("-n", "clean"), ("-e", "clean")])
def test_no_other_folder_is_removed(copy: Path, value: str, words: tuple[str, ...]) -> None:
    before = left(copy)
    result = make(copy, *words, DEMO_OUTPUT=value.format(folder=copy))
    assert left(copy) == before
    if "-n" not in words:
        assert result.returncode != 0
        assert len([line for line in result.stderr.splitlines() if "make: ***" not in line]) == 1
    assert "data" not in result.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_what_is_ours_is_removed(copy: Path) -> None:
    assert make(copy, "clean").returncode == 0
    assert left(copy) == STAYS
    assert make(copy, "clean", DEMO_OUTPUT="demo-output").returncode == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_other_variables_of_outside_name_nothing(copy: Path) -> None:
    assert make(copy, "-e", "clean", VENV="../precious", BIN="../precious").returncode == 0
    assert left(copy) == STAYS


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_a_link_is_removed_and_not_what_it_leads_to(copy: Path) -> None:
    shutil.rmtree(copy / "demo-output")
    (copy / "demo-output").symlink_to(copy / "data")
    assert make(copy, "clean").returncode == 0
    assert (copy / "data/file").exists()
    assert left(copy) == STAYS
