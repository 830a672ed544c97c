"""Waves or compressed files from the loader to the encoder: bytes in Ray's object store, and CPU.

Two ways for the same units: the loader decodes, and waves travel (what a run does with audio of up
to a minute); or it fetches alone, files travel as they are, and the encoder's process decodes.
Figures are the processor's seconds of each step, in turns, so that neighbours count little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import ray
import soundfile
import torch
from torch import Tensor

from actors.batch.schema import SOURCE_TYPE
from actors.inputs.audio import AudioSource, load_stream
from actors.inputs.audio_columns import read_loaded
from actors.stages.load import Loader
from benchmarks.load import FORMATS
from pipelines.executor.cluster import start_ray
from pipelines.planning.plan import make_plan, passthrough_schema
from uniaudio2.tasks.table import get_task

EXAMPLES = Path(__file__).parents[1] / "pipelines/examples/audio"
_ROUNDS, _QUICK_ROUNDS = 7, 2
_CLIPS = 60
_FORMATS = (
    ("flac_16k", ".flac", "FLAC", "PCM_16", 16_000, 1),
    *(kind for kind in FORMATS if kind[0] in ("flac_44k_stereo", "mp3_44k_stereo")),
)
_ROW: Mapping[str, Any] = {}
Step = tuple[str, float]


def _write_corpus(folder: Path, kind: tuple[str, str, str, str, int, int]) -> float:
    """Recordings of the examples in one format; returns their seconds in all."""
    import numpy as np
    import torchaudio

    from uniaudio2.audio.files import decode_audio
    from uniaudio2.audio.resampling import SAMPLE_RATE

    name, suffix, form, subtype, rate, channels = kind
    del name
    folder.mkdir()
    files, seconds = sorted(EXAMPLES.glob("*.*")), 0.0
    for number in range(_CLIPS):
        wave = decode_audio(files[number % len(files)].read_bytes())
        seconds += len(wave) / SAMPLE_RATE
        other = torchaudio.functional.resample(wave, SAMPLE_RATE, rate).numpy()
        sides = np.stack([other * (1 - 0.2 * side) for side in range(channels)], axis=1)  # [N, C]
        soundfile.write(folder / f"{number:03d}{suffix}", sides, rate, subtype, format=form)
    return seconds


def _timed(steps: list[Step], name: str, call: Callable[[], Any]) -> Any:
    begun = time.process_time()
    made = call()
    steps.append((name, time.process_time() - begun))
    return made


def _fetched(paths: list[str]) -> pa.Table:
    """Files as the loader could hand them on."""
    cells = [asdict(AudioSource(None, Path(path).read_bytes(), 0.0, None)) for path in paths]
    return pa.table({"source": pa.array(cells, SOURCE_TYPE)})


def _decoded(table: pa.Table) -> list[Tensor | None]:
    waves = []
    for place in range(table.num_rows):
        source = AudioSource.of_cell(table["source"][place].as_py())
        with source.open() as stream:
            waves.append(load_stream(stream, source, _ROW, None).wave)
    return waves


def _heard(table: pa.Table) -> list[Tensor | None]:
    return [read_loaded(table, row).wave for row in range(table.num_rows)]


def _as_waves(loader: Loader, unit: pa.Table) -> tuple[list[Step], int]:
    steps: list[Step] = []
    table = _timed(steps, "load", lambda: loader(unit))
    there = _timed(steps, "store", lambda: ray.get(ray.put(table)))
    _timed(steps, "encoder", lambda: _heard(there))
    return steps, table.nbytes


def _as_files(paths: list[str]) -> tuple[list[Step], int]:
    steps: list[Step] = []
    table = _timed(steps, "load", lambda: _fetched(paths))
    there = _timed(steps, "store", lambda: ray.get(ray.put(table)))
    _timed(steps, "encoder", lambda: _decoded(there))
    return steps, table.nbytes


def _of_format(
    folder: Path, kind: tuple[str, str, str, str, int, int], rounds: int
) -> dict[str, float]:
    seconds = _write_corpus(folder, kind)
    task = get_task("tokenize")
    plan = make_plan(str(folder), task, unit_rows=_CLIPS)
    loader = Loader(task, passthrough_schema(plan.schema))
    unit, paths = plan.units[0].to_table(), sorted(str(path) for path in folder.iterdir())
    ways = {"waves": lambda: _as_waves(loader, unit), "files": lambda: _as_files(paths)}
    seen: dict[tuple[str, str], list[float]] = {}
    sizes: dict[str, int] = {}
    for turn in range(rounds + 1):
        for way, call in ways.items():
            steps, sizes[way] = call()
            for step, took in steps:
                if turn:  # the first one is warm-up
                    seen.setdefault((way, step), []).append(took)
    figures = {}
    for way in ways:
        cost = {
            step: 1e3 * median(seen[way, step]) / seconds for step in ("load", "store", "encoder")
        }
        print(
            f"{kind[0]:<16} {way:<6} {sizes[way] / seconds / 1e3:>8.1f} {cost['load']:>8.3f} "
            f"{cost['store']:>8.3f} {cost['encoder']:>8.3f} {sum(cost.values()):>8.3f}", flush=True,
        )  # fmt: skip
        figures[f"waves.{kind[0]}_{way}_kb_per_s"] = sizes[way] / seconds / 1e3
        figures[f"waves.{kind[0]}_{way}_store_ms_per_s"] = cost["store"]
        figures[f"waves.{kind[0]}_{way}_encoder_ms_per_s"] = cost["encoder"]
        figures[f"waves.{kind[0]}_{way}_ms_per_s"] = sum(cost.values())
    return figures


def run(quick: bool) -> Mapping[str, float]:
    """Measure and print; returns the figures by name."""
    figures: dict[str, float] = {}
    torch.set_num_threads(1)  # of this process, for both ways
    start_ray(None, False)
    print("a second of audio: KB in the object store, ms of the processor in each step and in all")
    print(f"{'format':<16} {'way':<6} {'KB':>8} {'load':>8} {'store':>8} {'encoder':>8} {'all':>8}")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for kind in _FORMATS:
                rounds = _QUICK_ROUNDS if quick else _ROUNDS
                figures |= _of_format(Path(scratch, kind[0]), kind, rounds)
    finally:
        ray.shutdown()
    return figures
