"""The record of a unit: what became of it, and what of it a reader may believe."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError

from actors.batch.names import ATTEMPT_NAME, FOLDER
from actors.batch.receipt import Receipt
from actors.batch.stage_times import StageTime
from pipelines.errors import RunFailed
from uniaudio2.shown import shown

LOG = "_log"
UNITS = f"{LOG}/units"
PLAN = f"{LOG}/plan"
MOST_RECORD_BYTES = 64 << 20
# of `run.json` and of these records; 1 had no keys of rows, and may bear none; 2 had them as `rows`
FORMAT_VERSION = 3
# the number of the first record that holds in the place of several others, see `Commit.replaces`
FIRST_MERGED = 90_000_000
# Names that this pipeline gives, and what a killed writer leaves of them on a local disk.
_PLACE = r"\d{8}-[0-9a-f]{8}"
_DATA, _ERRORS = rf"data/part-{_PLACE}\.parquet", rf"errors/part-{_PLACE}\.parquet"
_SOUND = rf"audio/{_PLACE}(\.tar|/[\w-]+\.(flac|wav))"
_RECORD_NAME = rf"{UNITS}/\d{{8}}(-\d{{4}})?\.json"
_PLAN_NAME = rf"{PLAN}/[0-9a-f]{{16}}\.(parquet|json)"
OWN = re.compile(
    rf"({_DATA}|{_ERRORS}|{_SOUND}|{FOLDER}/\d{{8}}-[0-9a-f]{{16}}\.arrow|{_RECORD_NAME}|{_PLAN_NAME}"
    rf"|{LOG}/fence-[0-9a-f]{{32}}|{ATTEMPT_NAME})(\.[0-9a-f]{{32}}\.tmp)?",
    re.ASCII,
)
OWN_FOLDER = re.compile(rf"audio/{_PLACE}", re.ASCII)
PLAN_NAME = re.compile(rf"{_PLAN_NAME}(\.[0-9a-f]{{32}}\.tmp)?", re.ASCII)
RECORD_NAME = re.compile(_RECORD_NAME, re.ASCII)
_NAMES = {
    "data": re.compile(_DATA, re.ASCII),
    "error_parts": re.compile(_ERRORS, re.ASCII),
    "audio": re.compile(rf"audio/{_PLACE}(\.tar)?", re.ASCII),
    "files": re.compile(rf"{_DATA}|{_ERRORS}|{_SOUND}", re.ASCII),
}
_KEY = re.compile(r"[0-9a-f]{40}", re.ASCII)
_WORD = re.compile(r"[\w.:-]{1,64}", re.ASCII)  # a stage, a worker, a kind of error
_LONGEST_S = 1e12  # of time and of audio; sums of some millions stay finite
_MOST = 10**15  # rows, bytes, errors
# what records of earlier builds lack: where there is nothing in it, their seals hold
_LATER = ("added_rows", "marks", "rows", "stop", "origins", "keys", "replaces")
_KEY_BYTES = 20


@dataclass(frozen=True)
class Commit:
    """What became of one unit.

    Attributes:
        unit: its number.
        fingerprint: of the input rows it was computed from; records without `rows` are known by it.
        ok: rows in its data parts.
        errors: rows in its errors parts.
        data: paths of data parts.
        error_parts: paths of errors parts.
        audio: folders or tars of audio files.
        input_s: seconds of input audio in the good rows.
        output_s: seconds of audio written.
        kinds: errors by kind.
        files: size and hash of every object by its path.
        stages: when which stage worked on it, and for how long.
        generation: 0 for the run itself; a retry of failed rows writes the next, which holds
            for readers in the place of those before it.
        source: the Parquet file that holds its input rows, or "".
        start: the first of them there.
        marks: good rows by the mark that they bear, see docs/audio-formats.md.
        added_rows: rows that it has beyond those of its input, where each channel is a row.
        rows: keys of its input rows as records of format 2 hold them; () in others.
        stop: the row after the last of them in `source`; 0 where they lie one behind the other.
        origins: `source`, `start` and `stop` of parts whose name has another unit's number: those
            of rows that were done again.
        keys: of its input rows, 20 bytes each as `row_keys` makes them, in base64.
        replaces: the units in whose place it holds, first and last number of each run of them;
            records of theirs hold no longer, whether they are still there or not.
        format_version: of the record; a build refuses those of a newer one.
        seal: of the user whose run wrote it, see `seals`; "" when parts of it are another's.
    """

    unit: int
    fingerprint: str
    ok: int
    errors: int
    data: tuple[str, ...]
    error_parts: tuple[str, ...]
    audio: tuple[str, ...]
    input_s: float
    output_s: float
    kinds: dict[str, int]
    files: dict[str, list[int | str]]
    stages: tuple[StageTime, ...] = ()
    generation: int = 0
    source: str = ""
    start: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    added_rows: int = 0
    rows: tuple[str, ...] = ()
    stop: int = 0
    origins: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    keys: str = ""
    replaces: tuple[tuple[int, int], ...] = ()
    format_version: int = 1
    seal: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """Where the record is."""
        suffix = f"-{self.generation:04d}" if self.generation else ""
        return f"{UNITS}/{self.unit:08d}{suffix}.json"

    @property
    def row_keys(self) -> bytes:
        """The keys of its input rows one behind the other; empty where it holds none."""
        return base64.b64decode(self.keys) if self.keys else bytes.fromhex("".join(self.rows))

    @property
    def known_rows(self) -> int:
        """How many of its input rows it has keys of."""
        return len(self.row_keys) // _KEY_BYTES

    @property
    def is_keyed(self) -> bool:
        """Whether it has the keys of all its input rows."""
        return self.known_rows == self.ok + self.errors - self.added_rows

    @property
    def units(self) -> int:
        """How many units it stands for."""
        if self.unit < FIRST_MERGED:
            return 1
        last = FIRST_MERGED - 1
        return sum(min(stop, last) - start + 1 for start, stop in self.replaces if start <= last)

    @property
    def sources(self) -> dict[int, tuple[str, int, int]]:
        """Where the input rows of its parts are: source, first row and the one after the last, by
        the number in the parts' names."""
        if not self.source:
            return self.origins
        stop = self.stop or self.start + self.ok + self.errors - self.added_rows
        return {self.unit: (self.source, self.start, stop), **self.origins}

    @property
    def sealed_facts(self) -> dict[str, Any]:
        """What its seal covers: everything else."""
        facts = asdict(self)
        del facts["seal"]
        for name in _LATER:
            if not facts[name]:
                del facts[name]
        return facts

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @staticmethod
    def from_bytes(data: bytes, path: str = "") -> Commit:
        """Read a record back.

        Args:
            data: its contents.
            path: where it was; "" when that is not known.

        Raises:
            RunFailed: the bytes are no record of ours; no message holds any of them.
        """
        try:
            record = _RECORD.validate_json(data, strict=False)
            problem = newer_format(record.format_version) or _problem(record)
        except (ValidationError, RecursionError):
            problem = newer_format(_version_in(data)) or "it is not what a run writes"
        if not problem and path and path != record.path:
            problem = "it is another unit's"
        if problem.startswith(NEWER):
            raise RunFailed(f"{shown(path) or 'a commit record'} {problem}") from None
        if problem:
            raise RunFailed(
                f"not a commit record: {shown(path) or 'these bytes'}: {problem}; restore it, or "
                "remove it to do its unit again"
            ) from None
        return record


_RECORD = TypeAdapter(Commit)
NEWER = "was written by a newer build"


def newer_format(version: object) -> str:
    """Why a version of the formats in OUTPUT cannot be read; "" when it can."""
    if isinstance(version, int) and 1 <= version <= FORMAT_VERSION:
        return ""
    if isinstance(version, int) and version > FORMAT_VERSION:
        return (
            f"{NEWER}, in format {version:.20g}; this one reads up to {FORMAT_VERSION}: update "
            "uniaudio2-batch, or take another OUTPUT"
        )
    return "its format version is none"


def _version_in(data: bytes) -> object:
    """The version that a record of any later shape claims; 1 where it claims none."""
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        return FORMAT_VERSION
    return facts.get("format_version", 1) if isinstance(facts, dict) else FORMAT_VERSION


def _problem(record: Commit) -> str:
    """What a run of ours would never have written; "" when there is nothing."""
    counts = [
        record.unit, record.ok, record.errors, record.start, record.generation, record.added_rows,
        record.stop, *record.origins, *(at for _, *span in record.origins.values() for at in span),
        *record.kinds.values(), *record.marks.values(), *(call.rows for call in record.stages),
        *(call.failed for call in record.stages),
    ]  # fmt: skip
    if not all(0 <= count <= _MOST for count in counts):
        return "a count is out of range"
    seconds = [record.input_s, record.output_s]
    seconds += [value for call in record.stages for value in (call.begin, call.busy_s)]
    if not all(isfinite(value) and 0 <= value <= _LONGEST_S for value in seconds):
        return "a time is out of range"
    words = [
        *record.kinds,
        *record.marks,
        *(word for call in record.stages for word in (call.stage, call.worker)),
    ]
    if not all(_WORD.fullmatch(word) for word in words):
        return "a kind, a stage or a worker has no name that a run gives"
    for what, names in _NAMES.items():
        if not all(names.fullmatch(path) for path in getattr(record, what)):
            return f"{what} names what no run writes"
    if not all(map(_KEY.fullmatch, record.rows)):
        return "a key of a row is none"
    try:
        size = len(base64.b64decode(record.keys, validate=True)) or _KEY_BYTES * len(record.rows)
    except (binascii.Error, ValueError):
        return "its keys of rows are none"
    if size and size != _KEY_BYTES * (record.ok + record.errors - record.added_rows):
        return "its rows are not as many as it counts"
    if not _are_runs(record):
        return "it replaces what no record can"
    marks = record.files.values()
    if not all(len(mark) == 2 and isinstance(mark[0], int) for mark in marks):
        return "a mark of a file is none"
    return ""


def _are_runs(record: Commit) -> bool:
    """Whether what a record replaces are runs of other units' numbers, in their order."""
    before = -2
    for first, last in record.replaces:
        if not (before + 1 < first <= last < record.unit):
            return False
        before = last
    return (record.unit >= FIRST_MERGED) == bool(record.replaces)


def shown_keys(keys: bytes) -> str:
    """Keys of rows, one behind the other, as a record holds them."""
    return base64.b64encode(keys).decode()


def merge_receipts(unit: int, fingerprint: str, receipts: Sequence[Receipt]) -> Commit:
    """One commit from the receipt of a whole unit, or from those of its single rows."""
    return Commit(
        unit=unit,
        fingerprint=fingerprint,
        ok=sum(receipt.ok for receipt in receipts),
        errors=sum(receipt.errors for receipt in receipts),
        data=tuple(path for receipt in receipts for path in receipt.data),
        error_parts=tuple(path for receipt in receipts for path in receipt.error_parts),
        audio=tuple(receipt.audio for receipt in receipts if receipt.audio),
        input_s=sum(receipt.input_s for receipt in receipts),
        output_s=sum(receipt.output_s for receipt in receipts),
        kinds=dict(sum((Counter(receipt.kinds) for receipt in receipts), Counter())),
        marks=dict(sum((Counter(receipt.marks) for receipt in receipts), Counter())),
        files={path: mark for receipt in receipts for path, mark in receipt.files.items()},
        stages=tuple(call for receipt in receipts for call in receipt.stages),
        format_version=FORMAT_VERSION,
    )
