"""What manifests cost as people's tools write them: bytes read, planning, rows done again.

Goals: a Parquet file that is one row group is read at most 1.1 times over a run; 12,000 rows of
JSON whose keys are data are planned in 2 s and 500 MB; a file more in a folder of 10,000 costs no
more than a unit of rows.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

HERE = Path(__file__).parents[1]
CLIPS, CLIP_BYTES, KEYED_ROWS, FILES = 1500, 700_000, 12_000, 10_000
_QUICK = 10  # so much smaller
_GOALS = ("read 1.1 times", "planned in 2 s, 500 MB", "32 rows done again")
_TIMEOUT_S = 1800.0
_PLANNING_S = 120.0


def write_clips(path: Path, clip_bytes: int) -> None:
    """A Parquet file of clips in one row group and few pages, as pandas writes it."""
    draws = np.random.default_rng(0)
    sounds = []
    for _ in range(CLIPS):
        wave = draws.normal(0.0, 0.1, clip_bytes // 2).clip(-1, 1)
        sounds.append(_wav(wave))
    ids = [f"clip-{row:05d}" for row in range(CLIPS)]
    table = pa.table({"id": ids, "audio": sounds, "text": ["what was said"] * CLIPS})
    pq.write_table(table, path)
    pq.write_table(table.slice(0, 1), f"{path}.one.parquet")


def _wav(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 24_000, "PCM_16", format="WAV")
    return file.getvalue()


def write_keyed(path: Path, rows: int) -> None:
    """Lines of JSON with an object whose keys are data."""
    with path.open("w") as file:
        for row in range(rows):
            scores = {f"spk_{row}": row / rows}
            file.write(json.dumps({"id": f"r{row}", "text": "some words", "scores": scores}) + "\n")


def write_folder(folder: Path, files: int) -> None:
    """A folder of short recordings."""
    folder.mkdir(parents=True)
    data = _wav(0.1 * np.sin(np.arange(2400) / 8))
    for number in range(files):
        Path(folder, f"{2 * number:06d}.wav").write_bytes(data)


def _answer(checkout: Path, question: str, timeout_s: float, *of: Path) -> list[float] | None:
    """Figures of a checkout, in a process of its own; None where they take too long."""
    path = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
    try:
        answer = subprocess.run(  # noqa: S603 - this project's own program
            [sys.executable, str(Path(__file__).with_name("manifest_costs.py")), question,
             *map(str, of)],
            cwd=checkout, env={**os.environ, "PYTHONPATH": path}, timeout=timeout_s, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    figures: list[float] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def run(quick: bool, against: Sequence[Path] = ()) -> dict[str, float]:
    """Measure and print; returns the figures of this checkout by name.

    Args:
        quick: smaller inputs.
        against: other checkouts, measured with the same inputs.
    """
    by = _QUICK if quick else 1
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        clips, keyed = Path(scratch, "clips.parquet"), Path(scratch, "keyed.jsonl")
        write_clips(clips, CLIP_BYTES // by)
        write_keyed(keyed, KEYED_ROWS // by)
        size_mb = clips.stat().st_size / 1e6
        print(f"goals: {', '.join(_GOALS)}")
        for number, checkout in enumerate((HERE, *against)):
            read = _answer(checkout, "amplification", _TIMEOUT_S, clips)
            planned = _answer(checkout, "planning", _PLANNING_S, keyed)
            again = _again(checkout, Path(scratch, str(number)), FILES // by)
            print("this one:" if number == 0 else f"{checkout}:")
            print(f"  {CLIPS} clips in a row group of {size_mb:.0f} MB: {_said(read, READ)}")
            print(f"  {KEYED_ROWS // by} objects with keys of their own: {_said(planned, PLANNED)}")
            print(f"  a file more among {FILES // by}: {_said(again, AGAIN)}", flush=True)
            if number == 0:
                figures = _named(read, planned, again)
    return figures


def _again(checkout: Path, folder: Path, files: int) -> list[float] | None:
    """Rows that are done again for a file that sorts into the midst of a folder."""
    write_folder(folder / "in", files)
    added = folder / f"{files - 1:06d}.wav"
    added.write_bytes(_wav(np.zeros(2400)))
    return _answer(checkout, "recomputed", _TIMEOUT_S, folder / "in", added, folder / "out")


READ, PLANNED = "read {:.2f} times in {:.1f} s", "planned in {:.1f} s, {:.0f} MB"
AGAIN = "{:.0f} rows done again in {:.1f} s"


def _said(figures: list[float] | None, words: str) -> str:
    return words.format(*figures) if figures else "not done in time"


def _named(*answers: list[float] | None) -> dict[str, float]:
    names = (
        ("read_amplification", "load_s"), ("keyed_s", "keyed_mb"), ("recomputed_rows", "again_s"),
    )  # fmt: skip
    return {
        f"manifests.{name}": figure
        for pair, answer in zip(names, answers, strict=True)
        for name, figure in zip(pair, answer or (), strict=False)
    }
