"""Walk the zoo row by row through the loading stage, in a process of its own with a memory limit.

``python -m tests.zoo.walk FOLDER`` prints one JSON line a row: id, outcome, seconds, what is
expected; a row that ends the process is the one whose id was printed last.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from actors.batch.unit import UnitSpec, to_stream
from actors.stages.load import Loader
from pipelines.manifest.formats.text_formats import table_of_dicts
from tests.zoo.make_zoo import LIMIT_S, Specimen, make_zoo
from uniaudio2.tasks.table import get_task

ADDRESS_SPACE = 3 << 30
TASKS = {"audio": "tokenize", "typed": "tokenize", "codes": "detokenize", "texts": "tts"}


def outcome(loader: Loader, table: pa.Table, base: str) -> str:
    """Kind of the error of a manifest of one row, or "ok" with what the stage must add."""
    unit = UnitSpec(0, "", 0, 1, base, "f", to_stream(table))
    loaded = loader(unit.to_table())
    result: dict[str, Any] = loaded.drop_columns(["input"]).to_pylist()[0]
    if result["error_kind"] is not None:
        assert len(result["error_message"]) > 20
        return str(result["error_kind"])
    if "audio" in loader.task.columns:
        assert result["input_samples"] > 0
        assert len(result["wave"]) == 4 * result["input_samples"]
    if "recon_codes" in loader.task.columns:
        assert len(result["recon_codes"]) > 0
    return "ok"


def as_table(specimen: Specimen) -> pa.Table:
    """A row as a manifest of its own."""
    row = {"id": specimen.id, **specimen.row}
    arrays = {name: value for name, value in row.items() if isinstance(value, pa.Array)}
    table = table_of_dicts([{name: row[name] for name in row if name not in arrays}])
    for name, array in arrays.items():
        table = table.append_column(name, array)
    return table


def main(folder: Path) -> None:
    """Walk the zoo made in `folder`."""
    torch.set_num_threads(1)
    zoo = make_zoo(folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
    for group, task in TASKS.items():
        for specimen in getattr(zoo, group):
            print(json.dumps({"id": specimen.id}), flush=True)  # noqa: T201 - read by the test
            table = as_table(specimen)
            loader = Loader(get_task(task), table.schema.remove(0), LIMIT_S)
            start = time.perf_counter()
            try:
                found = outcome(loader, table, str(folder))
            except Exception as fault:
                found = f"fault {type(fault).__name__}: {fault}"
            facts = {"id": specimen.id, "found": found, "expected": sorted(specimen.expected)}
            facts["seconds"] = time.perf_counter() - start
            facts["peak_kb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(json.dumps(facts), flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(Path(sys.argv[1]))
