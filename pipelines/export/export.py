"""`uniaudio2 export`: the committed results of a run in the format of another toolkit."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from typing import Any, Literal, Protocol, get_args

import pyarrow as pa

from actors.batch.names import RECON_CODES, SEGMENTS, SPANS, WORDS
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.export.destination import clear_destination, put_record
from pipelines.export.kaldi import KaldiExporter
from pipelines.export.lines import (
    LineExporter,
    TimedExporter,
    jsonl_line,
    lhotse_line,
    nemo_line,
    pt_line,
)
from pipelines.export.results import ExportResult, Results
from pipelines.export.row import ExportRow, Sounds
from pipelines.export.shar import SharExporter
from pipelines.export.shards import HuggingFaceExporter, WebDatasetExporter
from pipelines.export.timed.files import TIMED_FORMATS
from pipelines.export.where import Where, ids_in
from pipelines.run_state.commit_log import open_output
from pipelines.run_state.run_facts import require
from pipelines.run_state.run_record import recorded_allow, recorded_base, recorded_task
from uniaudio2.errors import BadRow

Format = Literal[
    "pt", "huggingface", "webdataset", "lhotse", "shar", "nemo", "kaldi", "jsonl", "srt", "vtt",
    "ctm", "textgrid",
]  # fmt: skip
FORMATS: tuple[Format, ...] = get_args(Format)
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
_ROWS_AT_ONCE = 16


class Exporter(Protocol):
    """Writes one format."""

    def prepare(self, row: ExportRow) -> Any:
        """The slow part of a row, in any thread and order; BadRow when it cannot be exported."""

    def add(self, row: ExportRow, prepared: Any) -> None:
        """The rest of the row, one after the other in the order of the results."""

    def finish(self) -> None:
        """Write what comes last."""


def export_run(
    output: str,
    target: str,
    kind: Format,
    copy_audio: bool = False,
    with_input_audio: bool = False,
    where: str | None = None,
    without: str | None = None,
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
        where: a condition on columns of the results, in DuckDB's SQL; rows for which it is true are
            exported.
        without: a Parquet file with a column `id`, such as `dedup_run` writes; rows with these ids
            are not exported.

    Raises:
        UsageError: no such run, a library is missing, no such column, the results cannot be had in
            this format, or `target` holds something else.
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
    results = Results(commit_log, own, with_input_audio)
    schema = results.schema()
    if schema is None:
        raise UsageError(f"{output} has no committed results yet; run it first")
    if kind == "pt" and RECON_CODES not in schema.names:
        raise UsageError(
            f"{output} has no codes, which format pt is made of; run the task with "
            "`--set keep=tokens`, or run tokenize"
        )
    if kind in TIMED_FORMATS:
        _check_times(kind, schema, output)
    if where is not None:
        results = replace(results, where=Where(where, schema))
    if without is not None:
        results = replace(results, without=ids_in(without))
    storage = Storage(target)
    clear_destination(storage, commit_log.storage)
    facts = {"format": kind, "source": output, "task": run["job"]["task"]}
    chosen = {"where": where, "without": without}
    facts |= {name: value for name, value in chosen.items() if value is not None}
    put_record(storage, {**facts, "state": "writing"})
    copy = copy_audio or kind == "shar"
    sounds = Sounds(output, generated, _base(run), copy, recorded_allow(run) if own else ())
    result = ExportResult()
    exporter = _exporter(kind, storage, run, schema, sounds, result)
    try:
        _write(results.rows(sounds, result), exporter, result)
    except OSError:
        raise
    except (pa.ArrowException, ValueError, TypeError, LookupError, ArithmeticError) as fault:
        raise RunFailed(
            f"format {kind} cannot hold these rows together ({type(fault).__name__}); jsonl can"
        ) from fault
    if where is not None or without is not None:
        facts["left_out"] = result.left_out
    counts = {"rows": result.rows, "skipped": result.skipped, "examples": result.examples}
    if result.altered:
        counts |= {"altered": result.altered, "altered_ids": result.altered_ids}
    put_record(storage, {**facts, "state": "complete", **counts})
    return result


def _check_times(kind: Format, schema: pa.Schema, output: str) -> None:
    """Refuse results in which no column tells times.

    Raises:
        UsageError: there is none of those that the format is made of.
    """
    made_of = (WORDS,) if kind == "ctm" else (SEGMENTS, SPANS)
    if not set(made_of) & set(schema.names):
        raise UsageError(
            f"{output} has no column {' or '.join(made_of)}, which format {kind} is made of; "
            "transcribe with `--set asr.times=word`"
        )


def _exporter(
    kind: Format,
    storage: Storage,
    run: dict[str, Any],
    schema: pa.Schema,
    sounds: Sounds,
    result: ExportResult,
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
    if kind in TIMED_FORMATS:
        return TimedExporter(storage, kind, result)
    return makers[kind]()


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
    if given := recorded_base(run):
        return given
    listed = run["input"]["sources"]
    bases = {posixpath.dirname(source) for source in listed}
    return bases.pop() if len(bases) == 1 and len(listed) == run["input"]["source_count"] else None
