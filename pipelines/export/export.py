"""`uniaudio2 export`: the committed results of a run in the format of another toolkit."""

from __future__ import annotations

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

from actors.batch.table import read_codes
from actors.stages.write import file_mark
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.export.kaldi import KaldiExporter
from pipelines.export.lines import LineExporter, jsonl_line, lhotse_line, nemo_line, pt_line
from pipelines.export.row import ExportRow, Sounds
from pipelines.export.shar import SharExporter
from pipelines.export.shards import HuggingFaceExporter, WebDatasetExporter
from pipelines.run_state.commit_log import CommitLog, open_output
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.parts import BadPart, part_bytes, plain_rows, table_of
from pipelines.run_state.run_facts import require
from pipelines.run_state.run_record import recorded_allow, recorded_task
from uniaudio2.errors import BadRow
from uniaudio2.shown import shown
from uniaudio2.tokens.codes import Codes

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
_READ = (
    "job.task", "job.model", "job.seed", "model.name", "model.trained", "input.sources",
    "input.source_count", "versions",
)  # fmt: skip
_FOLDERS = ("audio", "data", "shards")
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
            self.examples.append(f"{shown(row.id, 80)}: {error.message}")

    def skip_part(self, fault: BadPart) -> None:
        """Count a part that could not be read."""
        self.skipped["unreadable_part"] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(str(fault))


def export_run(
    output: str,
    target: str,
    kind: Format,
    copy_audio: bool = False,
    with_input_audio: bool = False,
) -> ExportResult:
    """Write the committed results of a run in another format.

    Results are streamed part by part; memory does not grow with the run. Repeating the call makes
    the export anew: ``export.json`` in `target` says whether one is complete.

    Args:
        output: OUTPUT of a run, which may still be going on; a local path or URL.
        target: folder to make; a local path or URL. It must be empty, or hold an export.
        kind: one of `FORMATS`.
        copy_audio: take input audio into the export (mono FLAC, 24 kHz). Audio that the run made
            always goes in, and Lhotse Shar always takes all.
        with_input_audio: use input audio wherever the rows of OUTPUT say that it is, whoever made
            them; else only that of this user's own runs is used, and other rows are skipped where
            the format needs it.

    Raises:
        UsageError: no such run, a library is missing, the results cannot be had in this format,
            or `target` holds something else.
        RunFailed: storage did not answer, or the format cannot hold the rows together.
        OSError: storage did not answer.
    """
    if kind not in FORMATS:
        raise UsageError(f"format {kind!r} is not known; one of {', '.join(FORMATS)}")
    library = _NEEDS.get(kind)
    if library and find_spec(library) is None:
        raise UsageError(
            f"format {kind} needs {library}; `pip install 'uniaudio2-batch[formats]'` brings it"
        )
    commit_log, run = open_output(output)
    require(run, output, *_READ)
    generated = "decode" in recorded_task(run).stages
    own = commit_log.owns(run)
    results = _Results(commit_log, own, with_input_audio)
    schema = results.schema()
    if schema is None:
        raise UsageError(f"{output} has no committed results yet; run it first")
    if kind == "pt" and "recon_codes" not in schema.names:
        raise UsageError(
            f"{output} has no codes, which format pt is made of; run the task with "
            "`--set keep=tokens`, or run tokenize"
        )
    storage = Storage(target)
    _clear(storage, commit_log.storage)
    facts = {"format": kind, "source": output, "task": run["job"]["task"]}
    _put_record(storage, {**facts, "state": "writing"})
    copy = copy_audio or kind == "shar"
    sounds = Sounds(output, generated, _base(run), copy, recorded_allow(run) if own else ())
    result = ExportResult()
    exporter = _exporter(kind, storage, run, schema, sounds)
    try:
        _write(results.rows(sounds, result), exporter, result)
    except OSError:
        raise
    except (pa.ArrowException, ValueError, TypeError, LookupError, ArithmeticError) as fault:
        raise RunFailed(
            f"format {kind} cannot hold these rows together ({type(fault).__name__}); jsonl can"
        ) from fault
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


@dataclass(frozen=True)
class _Results:
    """The committed rows of a run, read part by part.

    Attributes:
        commit_log: of OUTPUT.
        own: the run is this user's own.
        asked: what rows name may be read, whoever made them.
    """

    commit_log: CommitLog
    own: bool
    asked: bool

    def schema(self) -> pa.Schema | None:
        """The columns of the first part that can be read; None when there is no part.

        Raises:
            BadPart: there are parts, but none of them can be read.
        """
        problem: BadPart | None = None
        for commit in self.commit_log.each_commit():
            for path in commit.data:
                try:
                    return self._table(commit, path)[0].schema
                except BadPart as fault:
                    problem = problem or fault
        if problem:
            raise problem
        return None

    def rows(self, sounds: Sounds, result: ExportResult) -> Iterator[ExportRow]:
        """Every row, one part in memory at a time; what cannot be read is counted in `result`."""
        for commit in self.commit_log.each_commit():
            for path in commit.data:
                try:
                    table, own = self._table(commit, path)
                except BadPart as fault:
                    result.skip_part(fault)
                    continue
                yield from _rows_of(table, sounds, self.asked or own, result)

    def _table(self, commit: Commit, path: str) -> tuple[pa.Table, bool]:
        """A part, and whether a run of this user wrote exactly its bytes."""
        data = part_bytes(self.commit_log.storage, path)
        own = self.own and self.commit_log.owns_commit(commit)
        own = own and commit.files.get(path) == file_mark(data)
        return table_of(data, path, own=own), own


def _rows_of(
    table: pa.Table, sounds: Sounds, trusted: bool, result: ExportResult
) -> Iterator[ExportRow]:
    names = [name for name in table.column_names if name not in CODE_COLUMNS]
    for place, facts in enumerate(plain_rows(table.select(names))):
        try:
            codes = read_codes(table, place)
        except (ValueError, TypeError, AttributeError):
            codes, facts = Codes.empty(), None
        if facts is None:
            row_id = {"id": table.column("id")[place].as_py()}
            error = BadRow("unreadable_row", "a value of it is not what its column says")
            result.skip(ExportRow(row_id, Codes.empty(), sounds), error)
        else:
            yield ExportRow(facts, codes, sounds, trusted)


def _write(rows: Iterator[ExportRow], exporter: Exporter, result: ExportResult) -> None:
    def attempt(row: ExportRow) -> Any:
        try:
            return exporter.prepare(row)
        except BadRow as error:
            return error
        except RuntimeError:  # of libsndfile: the file is cut, or none
            return BadRow("unreadable_audio", "its audio cannot be read to its end")

    with ThreadPoolExecutor(_ROWS_AT_ONCE) as pool:
        while group := list(islice(rows, _ROWS_AT_ONCE)):
            for row, prepared in zip(group, pool.map(attempt, group), strict=True):
                if isinstance(prepared, BadRow):
                    result.skip(row, prepared)
                else:
                    exporter.add(row, prepared)
                    result.rows += 1
    exporter.finish()


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
    if f"{storage.address}/".startswith(f"{output.address}/"):
        raise UsageError(
            f"DST {storage.root} lies inside OUTPUT {output.root}; choose a folder beside it"
        )
    for name in _FOLDERS:
        if storage.is_link(name):
            raise UsageError(
                f"DST {storage.root}/{name} is a link; nothing is written or deleted through links "
                "inside an export: remove it, or make all of DST the link"
            )
    there = storage.list("")
    if there and RECORD not in there:
        raise UsageError(
            f"DST {storage.root} holds {len(there)} files of something else, such as "
            f"{there[0]!r}; choose an empty folder"
        )
    storage.delete_many([path for path in there if _OWN.fullmatch(path)])


def _put_record(storage: Storage, facts: dict[str, Any]) -> None:
    storage.put(RECORD, (json.dumps(facts, indent=2) + "\n").encode())
