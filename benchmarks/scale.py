"""A million hours of audio on a thousand GPUs, on paper: what this machine measured, multiplied.

What a part, a record and a merge cost is measured here; the rest is taken from the latest lines of
`results.jsonl`. ``docs/scale.md`` shows both tables as this prints them, and a test computes the
second one anew from the first.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from actors.batch.receipt import Receipt, file_mark
from actors.batch.schema import CODES_TYPE
from actors.batch.stage_times import StageTime
from actors.stages.merge import merge_parts
from actors.stages.part_file import parquet_bytes
from actors.storage.object_store import Storage
from benchmarks.record import RESULTS
from pipelines.forecast.requests import GET_PRICE, PUT_PRICE
from pipelines.jobs.commits.committer import record_of
from pipelines.run_state.commit_record import FIRST_MERGED, Commit, merge_receipts, shown_keys
from uniaudio2.config import CODEBOOKS

GPUS, HOURS = 1000, 1_000_000
ROW_S, UNIT_S = 10.0, 1200.0  # a unit has at most 20 minutes, see `pipelines.planning`
TARGET_BYTES = 128 << 20
RECORD_EVERY_S = 2.0
SPEEDS = {"x100": 100.0, "x500": 500.0, "x2500": 2500.0}  # real time of one GPU
WAVE_BYTES_PER_S = 4 * 24_000
_FRAMES_PER_S = {"reason_codes": (5.0, 4096), "recon_codes": (12.5, 8192)}
_MERGED_PARTS = 64

# what is taken from results of other benchmarks: by name, the benchmark
TAKEN = {
    "nodes.growth": "nodes",
    "nodes.driver_ms_per_unit": "nodes",
    "nodes.puts_per_unit_8": "nodes",
    "nodes.requests_per_unit_8": "nodes",
    "load.mp3_44k_stereo_files_s": "load",
}
LOAD_FILE_S = 8.0  # mean length of the files of `benchmarks load`


def latest(name: str) -> float:
    """The last recorded figure of a name; raises `LookupError` where there is none."""
    found = None
    for line in RESULTS.read_text().splitlines():
        record = json.loads(line)
        if "--quick" not in record["command"]:
            found = record["figures"].get(name, found)
    if found is None:
        raise LookupError(f"{name} is in no line of {RESULTS}; run its benchmark first")
    return float(found)


def _codes(rows: int, row_s: float) -> pa.Table:
    """Rows of codes as tokenizing leaves them; drawn evenly, so that they pack worse than any."""
    draw = np.random.default_rng(0)
    columns: dict[str, pa.Array] = {
        "id": pa.array([f"recordings/2026/{row:09d}.flac" for row in range(rows)])
    }
    for name, (rate, ids) in _FRAMES_PER_S.items():
        frames = round(rate * row_s)
        values = pa.array(draw.integers(0, ids, rows * frames * CODEBOOKS, np.uint16))
        inner = pa.FixedSizeListArray.from_arrays(values, CODEBOOKS)
        offsets = pa.array(np.arange(0, rows * frames + 1, frames, np.int32))
        columns[name] = pa.ListArray.from_arrays(offsets, inner).cast(CODES_TYPE)
    return pa.table(columns)


def measure_parts() -> dict[str, float]:
    """Bytes of a second's codes in a part, and how fast one core merges parts."""
    rows = round(UNIT_S / ROW_S)
    data = parquet_bytes(_codes(rows, ROW_S))
    with tempfile.TemporaryDirectory() as folder:
        storage, marked = Storage(folder), []
        for number in range(_MERGED_PARTS):
            path = f"data/part-{number:08d}-00000000.parquet"
            storage.put(path, data)
            marked.append((path, file_mark(data)))
        begun = time.process_time()
        merge_parts(folder, FIRST_MERGED, marked, [])
        took_s = time.process_time() - begun
    return {
        "scale.part_bytes_per_audio_s": len(data) / UNIT_S,
        "scale.merge_mb_per_core_s": _MERGED_PARTS * len(data) / 1e6 / took_s,
    }


def measure_records() -> dict[str, float]:
    """Bytes of a commit record by the units that it has, and by their rows."""
    sizes = {rows: len(_record(16, rows).to_bytes()) / 16 for rows in (100, 200)}
    per_row = (sizes[200] - sizes[100]) / 100
    return {
        "scale.record_bytes_per_row": per_row,
        "scale.record_bytes_per_unit": sizes[100] - 100 * per_row,
    }


def _record(units: int, rows: int) -> Commit:
    """A record of units as a run over Parquet files in a store writes it."""
    calls = tuple(
        StageTime(stage, f"{number:016x}", 1.8e9 + number / 7, 1 / 3, rows, 0)
        for number, stage in enumerate(("load", "encode", "write"))
    )
    commits = []
    for number in range(units):
        path = f"data/part-{number:08d}-{number:08x}.parquet"
        files: dict[str, list[int | str]] = {path: [300_000, "0" * 32]}
        receipt = Receipt(number, rows, 0, files, {}, data=(path,), input_s=UNIT_S, stages=calls)
        commits.append(
            replace(
                merge_receipts(number, "0" * 32, [receipt]),
                source=f"s3://bucket/corpus/train/shard-{number:06d}.parquet",
                start=rows * number,
                keys=shown_keys(bytes(20 * rows)),
            )
        )
    return record_of(FIRST_MERGED, commits)


def model(measured: Mapping[str, float], speed: float) -> dict[str, float]:
    """The run, by what is measured.

    Args:
        measured: figures by name.
        speed: seconds of audio that one GPU does in a second.
    """
    audio_s = 3600.0 * HOURS
    run_s = audio_s / (GPUS * speed)
    units, rows = audio_s / UNIT_S, audio_s / ROW_S
    driver_s = units * measured["nodes.driver_ms_per_unit"] / 1e3
    jobs = math.ceil(driver_s / run_s)
    part_bytes = audio_s * measured["scale.part_bytes_per_audio_s"]
    # a part is read and written once when it is merged
    merged, records = part_bytes / TARGET_BYTES, min(jobs * run_s / RECORD_EVERY_S, units)
    puts = units * measured["nodes.puts_per_unit_8"] + merged
    others = units * (measured["nodes.requests_per_unit_8"] - measured["nodes.puts_per_unit_8"] + 1)
    decode_core_s = audio_s / (measured["load.mp3_44k_stereo_files_s"] * LOAD_FILE_S)
    record_bytes = (
        units * measured["scale.record_bytes_per_unit"]
        + rows * measured["scale.record_bytes_per_row"]
    )
    return {
        "hours of the run": run_s / 3600,
        "rows a second": rows / run_s,
        "units a second": units / run_s,
        "driver, core hours": driver_s / 3600,
        "driver, cores at once (so many jobs)": driver_s / run_s,
        "commit records, if one every 2 s and job": records,
        "commit records, GB in all": record_bytes / 1e9,
        "PUT requests a second": puts / run_s,
        "other requests to OUTPUT a second": others / run_s,
        "GET requests for audio a second, one a row": rows / run_s,
        "price of PUTs, $": puts * PUT_PRICE,
        "price of other requests to OUTPUT, $": others * GET_PRICE,
        "price of GETs for audio, $": rows * GET_PRICE,
        "parts written, TB": part_bytes / 1e12,
        "parts written, MB a second": part_bytes / 1e6 / run_s,
        "parts after merging": merged,
        "merging, core hours": part_bytes / 1e6 / measured["scale.merge_mb_per_core_s"] / 3600,
        "decoding MP3, core hours": decode_core_s / 3600,
        "decoding MP3, cores a GPU": decode_core_s / run_s / GPUS,
        "waves through object stores, MB a second and GPU": speed * WAVE_BYTES_PER_S / 1e6,
    }


def shown(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        digits = 3 - len(str(int(value)))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}"


def model_table(measured: Mapping[str, float]) -> list[list[str]]:
    """Rows of the table of the page: what, and its value at each speed."""
    columns = [model(measured, speed) for speed in SPEEDS.values()]
    return [[name, *(shown(column[name]) for column in columns)] for name in columns[0]]


def run(quick: bool) -> Mapping[str, float]:
    """Measure, and print both tables; returns the figures that were measured here."""
    del quick
    own = measure_parts() | measure_records()
    taken = {name: latest(name) for name in TAKEN}
    measured = {name: float(f"{value:.4g}") for name, value in (taken | own).items()}
    print("| figure | value | command |\n|---|--:|---|")
    for name, value in measured.items():
        print(f"| `{name}` | {value:g} | `python -m benchmarks {name.partition('.')[0]}` |")
    print(f"\n| | {' | '.join(SPEEDS)} |\n|---|{'--:|' * len(SPEEDS)}")
    for row in model_table(measured):
        print(f"| {' | '.join(row)} |")
    return own
