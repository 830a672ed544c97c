"""The API's pages are built from the docstrings without a warning, and hold what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_pages_are_built(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    pages = {path.stem: path.read_text() for path in tmp_path.glob("*.html")}
    for page, names in {
        "runs": ("pipelines.jobs.run.run_job", "pipelines.config.job.JobConfig", "unit_rows"),
        "model": ("uniaudio2.entrypoints.model.UniAudio2.encode", "uniaudio2.tokens.codes.Codes"),
        "export": ("pipelines.export.export.export_run",),
    }.items():
        for name in names:
            assert name in pages[page], (page, name)
    served = [line for text in pages.values() for line in text.split('src="')[1:]]
    assert not [line[:60] for line in served if line.startswith("http")]
