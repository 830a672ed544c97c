"""A user without an entry in passwd, whose home is not there or cannot be written, has runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.demo import read_results

ROOT = Path(__file__).parents[2]
NOBODY = 54321

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("setpriv") is None,
        reason="to become another user needs root and setpriv",
    ),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of that user's, in one that everybody may pass."""
    folder = Path(tempfile.mkdtemp(prefix="stranger-", dir="/tmp"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("home", ["absent", "read-only"])
def test_a_run_without_a_home(place: Path, home: str) -> None:
    (place / "m.txt").write_text("yes\nno\n")
    (place / "home").mkdir(mode=0o555)  # of root
    where = str(place / ("home" if home == "read-only" else "nowhere"))
    setpriv = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    command = f"{setpriv} {sys.executable} -m pipelines.cli run tts {place}/m.txt {place}/out"
    options = "--model tiny --executor inline --set sampling.max_frames=10"
    done = subprocess.run(
        [*command.split(), *options.split()], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "HOME": where, "TMPDIR": str(place), "USER": "", "LOGNAME": ""},
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert sorted(row["text"] for row in read_results(str(place / "out"))) == ["no", "yes"]
    assert "Traceback" not in told
    assert not list((place / "home").iterdir())
