"""`uniaudio2 export`: the committed results of a run in the format of another toolkit."""

from __future__ import annotations

import io
import json
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from typing import Any, Literal, Protocol, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage import Storage, read_uri
from actors.table import read_codes
from pipelines.errors import UsageError
from pipelines.exporters.kaldi import KaldiExporter
from pipelines.exporters.lines import LineExporter, jsonl_line, lhotse_line, nemo_line, pt_line
from pipelines.exporters.row import ExportRow, Sounds
from pipelines.exporters.shar import SharExporter
from pipelines.exporters.shards import HuggingFaceExporter, WebDatasetExporter
from pipelines.ledger import Ledger, committed_parts
from pipelines.record import recorded_task
from uniaudio2.errors import BadRow

Format = Literal["pt", "huggingface", "webdataset", "lhotse", "shar", "nemo", "kaldi", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
RECORD = "export.json"
CODE_COLUMNS = ("reason_codes", "recon_codes")
_NEEDS = {
    "huggingface": "datasets",
    "webdataset": "webdataset",
    "lhotse": "lhotse",
    "shar": "lhotse",
}
_ROWS_AT_ONCE = 16
_EXAMPLES = 5
_OWN = re.compile(
    r"(audio/[\w-]+\.(flac|wav)|data/part-\d{5}\.parquet|shard-\d{6}\.tar|[\w-]+_(reason|semantic)"
    r"\.pt|manifest\.jsonl|cuts\.jsonl\.gz|README\.md|wav\.scp|segments|text|utt2spk|spk2utt"
    r"|utt2dur|shards/(cuts\.\d{6}\.jsonl\.gz|(recording|reason_codes|recon_codes)\.\d{6}\.tar))"
    r"(\.[0-9a-f]{32}\.tmp)?"
)


class Exporter(Protocol):
    """What writes one format."""

    def prepare(self, row: ExportRow) -> Any:
        """The slow part of a row, in any thread and order; BadRow when it cannot be exported."""

    def add(self, row: ExportRow, prepared: Any) -> None:
        """The rest of the row, one after the other in the order of the results."""

    def finish(self) -> None:
        """Write what comes last."""


@dataclass
class ExportResult:
    """What an export came to.

    Attributes:
        rows: rows that were written.
        skipped: rows that the format cannot hold, by kind.
        examples: id and message of the first of them.
    """

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def skip(self, row: ExportRow, error: BadRow) -> None:
        """Count a row that could not be written."""
        self.skipped[error.kind] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{row.id[:80]}: {error.message}")


def export_run(output: str, target: str, kind: Format, copy_audio: bool = False) -> ExportResult:
    """Write the committed results of a run in another format.

    Results are streamed part by part; memory does not grow with the run. Repeating the call makes
    the export anew: ``export.json`` in `target` says whether one is complete.

    Args:
        output: OUTPUT of a run, which may still be going on; a local path or URL.
        target: folder to make; a local path or URL. It must be empty, or hold an export.
        kind: one of `FORMATS`.
        copy_audio: take input audio into the export (mono FLAC, 24 kHz). Audio that the run made
            always goes in, and Lhotse Shar always takes all.

    Raises:
        UsageError: no such run, a library is missing, the results cannot be had in this format,
            or `target` holds something else.
        OSError: storage did not answer.
    """
    if kind not in FORMATS:
        raise UsageError(f"format {kind!r} is not known; one of {', '.join(FORMATS)}")
    library = _NEEDS.get(kind)
    if library and find_spec(library) is None:
        raise UsageError(
            f"format {kind} needs {library}; `pip install 'uniaudio2-batch[formats]'` brings it"
        )
    run = Ledger(Storage(output)).read_run()
    if run is None:
        raise UsageError(f"{output} holds no run.json; give the OUTPUT of a run")
    parts = committed_parts(output)
    if not parts:
        raise UsageError(f"{output} has no committed results yet; run it first")
    with pq.ParquetFile(io.BytesIO(read_uri(parts[0]))) as first:
        schema = first.schema_arrow
    if kind == "pt" and "recon_codes" not in schema.names:
        raise UsageError(
            f"{output} has no codes, which format pt is made of; run the task with "
            "`--set keep=tokens`, or run tokenize"
        )
    storage = Storage(target)
    _clear(storage, Storage(output))
    facts = {"format": kind, "source": output, "task": run["job"]["task"]}
    _put_record(storage, {**facts, "state": "writing"})
    copy = copy_audio or kind == "shar"
    sounds = Sounds(output, "decode" in recorded_task(run).stages, _base(run), copy)
    result = _write(_rows(parts, sounds), _exporter(kind, storage, run, schema, sounds))
    counts = {"rows": result.rows, "skipped": result.skipped, "examples": result.examples}
    _put_record(storage, {**facts, "state": "complete", **counts})
    return result


def _exporter(
    kind: Format, storage: Storage, run: dict[str, Any], schema: pa.Schema, sounds: Sounds
) -> Exporter:
    with_audio = sounds.generated or sounds.copy
    makers: dict[str, Callable[[], Exporter]] = {
        "jsonl": lambda: LineExporter(storage, "manifest.jsonl", jsonl_line),
        "nemo": lambda: LineExporter(storage, "manifest.jsonl", nemo_line),
        "lhotse": lambda: LineExporter(storage, "cuts.jsonl.gz", lhotse_line),
        "pt": lambda: LineExporter(storage, "manifest.jsonl", pt_line),
        "kaldi": lambda: KaldiExporter(storage),
        "webdataset": lambda: WebDatasetExporter(storage),
        "shar": lambda: SharExporter(storage, schema),
        "huggingface": lambda: HuggingFaceExporter(storage, run, schema, with_audio),
    }
    return makers[kind]()


def _rows(parts: list[str], sounds: Sounds) -> Iterator[ExportRow]:
    """Every committed row, one part in memory at a time."""
    for part in parts:
        table = pq.read_table(io.BytesIO(read_uri(part)))
        names = [name for name in table.column_names if name not in CODE_COLUMNS]
        for place, facts in enumerate(table.select(names).to_pylist()):
            yield ExportRow(facts, read_codes(table, place), sounds)


def _write(rows: Iterator[ExportRow], exporter: Exporter) -> ExportResult:
    result = ExportResult()

    def attempt(row: ExportRow) -> Any:
        try:
            return exporter.prepare(row)
        except BadRow as error:
            return error

    with ThreadPoolExecutor(_ROWS_AT_ONCE) as pool:
        while group := list(islice(rows, _ROWS_AT_ONCE)):
            for row, prepared in zip(group, pool.map(attempt, group), strict=True):
                if isinstance(prepared, BadRow):
                    result.skip(row, prepared)
                else:
                    exporter.add(row, prepared)
                    result.rows += 1
    exporter.finish()
    return result


def _base(run: dict[str, Any]) -> str | None:
    """The one folder that relative audio paths of the input start at, if it is one."""
    listed = run["input"]["sources"]
    bases = {posixpath.dirname(source) for source in listed}
    return bases.pop() if len(bases) == 1 and len(listed) == run["input"]["source_count"] else None


def _clear(storage: Storage, output: Storage) -> None:
    """Make room for an export: only what an earlier one wrote is removed.

    Raises:
        UsageError: the folder holds something else, or lies inside OUTPUT.
    """
    if f"{storage.root}/".startswith(f"{output.root}/"):
        raise UsageError(
            f"DST {storage.root} lies inside OUTPUT {output.root}; choose a folder beside it"
        )
    there = storage.list("")
    if there and RECORD not in there:
        raise UsageError(
            f"DST {storage.root} holds {len(there)} files of something else, such as "
            f"{there[0]!r}; choose an empty folder"
        )
    for path in there:
        if _OWN.fullmatch(path):
            storage.delete(path)


def _put_record(storage: Storage, facts: dict[str, Any]) -> None:
    storage.put(RECORD, (json.dumps(facts, indent=2) + "\n").encode())
