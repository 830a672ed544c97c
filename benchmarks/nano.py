"""The bundled model, storage to storage: how much faster than real time it transcribes.

Start-up (Ray, actors, imports) ends with the first commit; what is measured is all that is
committed after it.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.pipeline import speech_manifest
from pipelines import JobConfig, run_job
from pipelines.ledger import Commit

_ROWS = 100


def run(quick: bool) -> dict[str, float]:
    """Measure and print; returns the figures by name."""
    with tempfile.TemporaryDirectory() as scratch:
        manifest = speech_manifest(Path(scratch), _ROWS // 4 if quick else _ROWS)
        output = Path(scratch) / "out"
        begun = time.time()
        run_job(JobConfig(task="asr", input=str(manifest), output=str(output)))
        ended = time.time()
        records = sorted(output.glob("_log/units/*.json"), key=os.path.getmtime)
        commits = [Commit.from_bytes(record.read_bytes()) for record in records]
        first_s, last_s = (records[index].stat().st_mtime for index in (0, -1))
    audio_s = sum(commit.input_s for commit in commits)
    after_s = audio_s - commits[0].input_s
    factor = after_s / (last_s - first_s)
    print(
        f"asr: {sum(c.ok for c in commits)} rows, {audio_s:.0f} s of audio, {os.cpu_count()} CPUs"
    )
    print(f"first commit after {first_s - begun:.1f} s, the run ended after {ended - begun:.1f} s")
    print(f"after start-up: {after_s:.0f} s of audio in {last_s - first_s:.1f} s, {factor:.1f}x")
    return {"nano.asr_realtime_factor": factor, "nano.asr_start_s": first_s - begun}
