"""The commit log: one small JSON object a unit, written last and by the driver alone.

``_log/units/00000007.json`` names the parts of unit 7. What no record names does not exist for
readers. A record is created only if it is absent, so a second driver can never commit a unit
again; resuming is the set difference between the plan's units and the records. A retry of failed
rows writes ``00000007-0001.json``, the whole state of unit 7 after it: of a unit's records the last
one holds, and those before it go when the retry has ended.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from actors.shelf import FOLDER
from actors.storage import AlreadyThere, Storage
from actors.times import StageTime
from actors.write import file_mark
from pipelines.errors import RunFailed, UsageError

LOG = "_log"
UNITS = f"{LOG}/units"
RUN = "run.json"
REPORT = "report.html"
RESULTS = ("data", "errors", "audio")
SWEPT = (*RESULTS, FOLDER)
_READ_THREADS = 16
_READ_AT_ONCE = 256
# Names that this pipeline gives, and what a killed writer leaves of them on a local disk.
_PLACE = r"\d{8}-[0-9a-f]{8}"
_OWN = re.compile(
    rf"((data|errors)/part-{_PLACE}\.parquet|audio/{_PLACE}(\.tar|/[\w-]+\.(flac|wav))"
    rf"|{FOLDER}/\d{{8}}-[0-9a-f]{{16}}\.arrow|{UNITS}/\d{{8}}(-\d{{4}})?\.json"
    rf"|{LOG}/fence-[0-9a-f]{{32}})"
    r"(\.[0-9a-f]{32}\.tmp)?"
)
_OWN_FOLDER = re.compile(rf"audio/{_PLACE}")


@dataclass(frozen=True)
class Commit:
    """What became of one unit.

    Attributes:
        unit: its number.
        fingerprint: of the input rows it was computed from.
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

    @property
    def path(self) -> str:
        """Where the record is."""
        suffix = f"-{self.generation:04d}" if self.generation else ""
        return f"{UNITS}/{self.unit:08d}{suffix}.json"

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Commit:
        """Read a record back.

        Raises:
            RunFailed: the bytes are no record of ours.
        """
        try:
            return _RECORD.validate_json(data, strict=False)
        except ValidationError as fault:
            raise RunFailed(
                f"not a commit record: {data[:60]!r}; restore it, or remove it to do its unit again"
            ) from fault


_RECORD = TypeAdapter(Commit)


def merge_receipts(unit: int, fingerprint: str, receipts: list[dict[str, Any]]) -> Commit:
    """One commit from the receipt of a whole unit, or from those of its single rows."""
    return Commit(
        unit=unit,
        fingerprint=fingerprint,
        ok=sum(receipt["ok"] for receipt in receipts),
        errors=sum(receipt["errors"] for receipt in receipts),
        data=tuple(path for receipt in receipts for path in receipt["data"]),
        error_parts=tuple(path for receipt in receipts for path in receipt["error_parts"]),
        audio=tuple(receipt["audio"] for receipt in receipts if receipt.get("audio")),
        input_s=sum(receipt.get("input_s", 0.0) for receipt in receipts),
        output_s=sum(receipt.get("output_s", 0.0) for receipt in receipts),
        kinds=dict(sum((Counter(receipt["kinds"]) for receipt in receipts), Counter())),
        files={path: mark for receipt in receipts for path, mark in receipt["files"].items()},
        stages=tuple(call for receipt in receipts for call in receipt.get("stages", ())),
    )


class Ledger:
    """The state of a run, read from and written to OUTPUT alone."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def read_run(self) -> dict[str, Any] | None:
        """``run.json``, or None when OUTPUT has none.

        Raises:
            UsageError: the file is not ours.
        """
        try:
            facts = json.loads(self.storage.read(RUN))
        except FileNotFoundError:
            return None
        except ValueError as fault:
            raise UsageError(
                f"{self.storage.uri(RUN)} is not a run record: {fault}; choose another OUTPUT"
            ) from fault
        if not isinstance(facts, dict) or "job" not in facts:
            raise UsageError(f"{self.storage.uri(RUN)} is not a run record; choose another OUTPUT")
        return facts

    def write_run(self, facts: dict[str, Any]) -> None:
        """Replace ``run.json``."""
        self.storage.put(RUN, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())

    def _record_paths(self) -> dict[str, list[str]]:
        """Paths of the commit records by unit, the one that holds last."""
        found: dict[str, list[str]] = {}
        names = [path[:-5] for path in self.storage.list(UNITS) if path.endswith(".json")]
        for name in sorted(names):  # without the suffix, generations are in their order
            found.setdefault(name.partition("-")[0], []).append(f"{name}.json")
        return found

    def each_commit(self) -> Iterator[Commit]:
        """The commit record that holds of every unit, in order, few in memory at a time."""
        paths = [records[-1] for records in self._record_paths().values()]
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            for start in range(0, len(paths), _READ_AT_ONCE):
                some = paths[start : start + _READ_AT_ONCE]
                yield from map(Commit.from_bytes, pool.map(self.storage.read, some))

    def units_done(self) -> int:
        """How many units are committed."""
        return len(self._record_paths())

    def commit(self, record: Commit) -> None:
        """Make a unit's parts visible, once.

        Raises:
            RunFailed: another driver has committed this unit.
        """
        try:
            self.storage.create(record.path, record.to_bytes())
        except AlreadyThere as fault:
            raise RunFailed(
                f"unit {record.unit} was committed by another run into {self.storage.root}; "
                "this run stops, nothing is lost or doubled"
            ) from fault

    def withdraw(self, units: list[int]) -> None:
        """Take back the commits of units whose input rows changed; their parts become orphans."""
        records = self._record_paths()
        for unit in units:
            # the one that holds goes last: what was before it must never hold again
            for path in records.get(f"{UNITS}/{unit:08d}", []):
                self.storage.delete(path)

    def kept(self) -> set[str]:
        """Paths of tokens that were kept between stages."""
        return set(self.storage.list(FOLDER))

    def verify(self) -> list[str]:
        """Read every committed object again; returns what is missing or differs, in words."""

        def look(entry: tuple[str, list[int | str]]) -> str:
            path, mark = entry
            try:
                data = self.storage.read(path)
            except FileNotFoundError:
                return f"{path} is missing"
            return "" if file_mark(data) == mark else f"{path} differs from its commit record"

        with ThreadPoolExecutor(_READ_THREADS) as pool:
            return [
                problem
                for commit in self.each_commit()
                for problem in pool.map(look, commit.files.items())
                if problem
            ]

    def _own(self, folders: tuple[str, ...]) -> list[str]:
        """Objects whose names are ours; a user's own files beside them are never touched."""
        return [
            path for name in folders for path in self.storage.list(name) if _OWN.fullmatch(path)
        ]

    def _orphans(self, folder: str, named: set[str]) -> Iterator[str]:
        """Objects of ours in a folder that are not named; what a named folder holds is not even
        listed."""
        for path in self.storage.children(folder):
            if path in named:
                continue
            if _OWN.fullmatch(path):
                yield path
            elif _OWN_FOLDER.fullmatch(path):
                yield from self._own((path,))

    def sweep(self, folders: tuple[str, ...] = SWEPT) -> int:
        """Remove what attempts of ours left and no commit names; returns how many objects went.

        Args:
            folders: where to look.
        """
        for records in self._record_paths().values():
            for path in records[:-1]:  # before the parts that it names
                self.storage.delete(path)
        named = {path for c in self.each_commit() for path in (*c.data, *c.error_parts, *c.audio)}
        orphans = [path for folder in (*folders, LOG) for path in self._orphans(folder, named)]
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            list(pool.map(self.storage.delete, orphans))
        return len(orphans)

    def clear(self) -> None:
        """Remove a former run of ours, its record last; where there is none, nothing goes."""
        if self.read_run() is None:
            return
        # records before the parts that they name: a kill between must leave no promise behind
        records = [path for paths in self._record_paths().values() for path in paths]
        for path in (*records, *self._own((*SWEPT, LOG)), REPORT):
            self.storage.delete(path)
        self.storage.delete(RUN)


def committed_parts(output: str, kind: str = "data") -> list[str]:
    """Full addresses of the parts that commits name.

    Args:
        output: OUTPUT of a run.
        kind: ``"data"`` or ``"errors"``.
    """
    storage = Storage(output)
    return [
        storage.uri(path)
        for commit in Ledger(storage).each_commit()
        for path in (commit.data if kind == "data" else commit.error_parts)
    ]
