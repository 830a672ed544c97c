"""What small files of strangers cost: memory and time of planning them, each in a fresh process.

A gzip manifest of short rows of which one is wanted, and a Parquet file of kilobytes with four
values of a quarter of a gigabyte in a column that no stage reads.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_MIB, VALUE_MIB = 200, 256
_QUICK = 8  # so much smaller
_TIMEOUT_S = 900
_CHILD = """
import json, sys, time
import pyarrow as pa
from actors.stages.load import Loader
from pipelines.planning.plan import make_plan, passthrough_schema
from uniaudio2.tasks.table import get_task
def peak_mb():  # of this program alone, not of the one that it was forked from
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) / 1024
uri, limit, load = json.loads(sys.argv[1])
task, before_mb, begun = get_task("tts"), peak_mb(), time.perf_counter()
plan = make_plan(uri, task, limit=limit)
if load:
    loader = Loader(task, passthrough_schema(plan.schema))
    for unit in plan.units:
        loader(unit.to_table())
spent_s = time.perf_counter() - begun
print(json.dumps([peak_mb() - before_mb, spent_s, peak_mb()]))
"""


def write_rows(path: Path, mib: int) -> None:
    """A gzip file of short rows that unpacks to `mib` MiB."""
    done = number = 0
    with gzip.open(path, "wb", compresslevel=6) as file:
        while done < mib << 20:
            lines = b"".join(b'{"text":"a%d"}\n' % row for row in range(number, number + 10_000))
            file.write(lines)
            done, number = done + len(lines), number + 10_000


def write_values(path: Path, mib: int) -> None:
    """A Parquet file of four rows that all mean one value of `mib` MiB."""
    value = pa.array(["a" * (mib << 20)])
    junk = pa.DictionaryArray.from_arrays(pa.array([0] * 4, pa.int32()), value)
    table = pa.table({"id": list("abcd"), "text": ["words"] * 4, "junk": junk})
    pq.write_table(table, path, compression="zstd", store_schema=False)


def cost(checkout: Path, uri: Path, limit: int | None, load: bool) -> tuple[float, float, float]:
    """Growth in MB, seconds and whole memory in MB of planning, by the code of a checkout."""
    answer = subprocess.run(  # noqa: S603 - this program, with files of its own
        [sys.executable, "-c", _CHILD, json.dumps([str(uri), limit, load])],
        cwd=checkout, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S,
    )  # fmt: skip
    grown_mb, spent_s, whole_mb = json.loads(answer.stdout.splitlines()[-1])
    return grown_mb, spent_s, whole_mb


def run(quick: bool, against: Sequence[Path] = ()) -> dict[str, float]:
    """Measure and print; returns the figures of this checkout by name."""
    rows_mib, value_mib = ROWS_MIB, VALUE_MIB
    if quick:
        rows_mib, value_mib = rows_mib // _QUICK, value_mib // _QUICK
    here = Path(__file__).parent.parent
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows, values = Path(folder, "rows.jsonl.gz"), Path(folder, "values.parquet")
        write_rows(rows, rows_mib)
        write_values(values, value_mib)
        print(f"{'':>44}  {'growth MB':>9}  {'s':>6}  {'process MB':>10}  checkout")
        kinds = (
            ("limit_one", rows, 1, False, f"1 row of {rows_mib} MiB"),
            ("parquet", values, None, True, f"4 x {value_mib} MiB, loaded"),
        )
        for name, path, limit, load, what in kinds:
            said = f"{what}, packed {path.stat().st_size / 1000:.0f} KB"
            for checkout in (here, *against):
                grown_mb, spent_s, whole_mb = cost(checkout, path, limit, load)
                mark = "this one" if checkout == here else str(checkout)
                print(f"{said:>44}  {grown_mb:>9.0f}  {spent_s:>6.2f}  {whole_mb:>10.0f}  {mark}")
                if checkout == here:
                    figures |= {f"trust.{name}_mb": grown_mb, f"trust.{name}_s": spent_s}
    return figures
