"""The commit log: one small JSON object a unit, written last and by the driver alone.

``_log/units/00000007.json`` names the parts of unit 7. What no record names does not exist for
readers. A record is created only if it is absent, so a second driver can never commit a unit
again; resuming is the set difference between the plan's units and the records. A retry of failed
rows writes ``00000007-0001.json``, the whole state of unit 7 after it: of a unit's records the last
one holds, and those before it go when the retry has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from actors.batch.intermediate_store import FOLDER
from actors.stages.write import file_mark
from actors.storage.file_systems import UnknownFileSystem
from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import ObjectExists, Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.run_state.commit_record import (
    FORMAT_VERSION,
    LOG,
    MOST_RECORD_BYTES,
    NEWER,
    OWN,
    OWN_FOLDER,
    RECORD_NAME,
    UNITS,
    Commit,
)
from pipelines.run_state.run_facts import MOST_BYTES, parse_run
from pipelines.run_state.seals import is_sealed, seal

RUN = "run.json"
REPORT = "report.html"
DRIVER = f"{LOG}/driver.json"
RESULTS = ("data", "errors", "audio")
SWEPT = (*RESULTS, FOLDER)
_SEALED = ("job", "config", "input")
_READ_THREADS = 16
_READ_AT_ONCE = 256
_T = TypeVar("_T")


def _in_one_line(look: Callable[[], _T]) -> _T:
    """Look into OUTPUT; what cannot be a run's place is refused.

    Raises:
        UsageError: what is there is no run's, or this user may not read it.
        RunFailed: storage did not answer.
        FileNotFoundError: nothing is there.
    """
    try:
        return look()
    except FileNotFoundError:
        raise
    except OSError as fault:
        if isinstance(fault, ForeignPath | NotADirectoryError | PermissionError):
            raise UsageError(f"{fault}; give the OUTPUT of a run") from fault
        raise RunFailed(f"storage: {fault}; the same command goes on where it was") from fault


class CommitLog:
    """The state of a run, read from and written to OUTPUT alone."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def read_run(self) -> dict[str, Any] | None:
        """``run.json``, or None when OUTPUT has none.

        Raises:
            UsageError: the file is not ours.
        """
        try:
            return parse_run(_in_one_line(lambda: self.storage.read(RUN, MOST_BYTES)))
        except FileNotFoundError:
            return None
        except ValueError as fault:
            found = str(fault)
            if not found.startswith(NEWER):
                found = f"is not a run record: {found}; choose another OUTPUT"
            raise UsageError(f"{self.storage.uri(RUN)} {found}") from None

    def write_run(self, facts: dict[str, Any]) -> None:
        """Replace ``run.json``, sealed as this user's."""
        facts = {**facts, "format_version": FORMAT_VERSION}
        facts["seal"] = seal(_sealed(facts), self.storage.address)
        self.storage.put(RUN, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())

    def owns(self, facts: dict[str, Any]) -> bool:
        """Whether what ``run.json`` says was run is what this user ran, into this very place."""
        return is_sealed(_sealed(facts), self.storage.address, facts.get("seal"))

    def owns_commit(self, record: Commit) -> bool:
        """Whether all of a unit was written by runs of this user, into this very place."""
        return is_sealed(record.sealed_facts, self.storage.address, record.seal)

    def refuse_links(self) -> None:
        """Refuse an OUTPUT whose own folders or files are links, before anything is written.

        Raises:
            UsageError: names the first.
        """
        for path in (*SWEPT, LOG, UNITS, DRIVER, RUN, REPORT):
            if self.storage.is_link(path):
                raise UsageError(
                    f"{self.storage.root}/{path} is a link; nothing is written, listed or deleted "
                    "through links inside an OUTPUT: put what it leads to in its place, or make "
                    "all of OUTPUT the link"
                )

    def _record_paths(self) -> dict[str, list[str]]:
        """Paths of the commit records by unit, the one that holds last."""
        found: dict[str, list[str]] = {}
        paths = _in_one_line(lambda: self.storage.list(UNITS))
        names = [path[:-5] for path in paths if RECORD_NAME.fullmatch(path)]
        for name in sorted(names):  # without the suffix, generations are in their order
            found.setdefault(name.partition("-")[0], []).append(f"{name}.json")
        return found

    def each_commit(self) -> Iterator[Commit]:
        """The commit record that holds of every unit, in order, few in memory at a time."""
        paths = [records[-1] for records in self._record_paths().values()]
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            for start in range(0, len(paths), _READ_AT_ONCE):
                some = paths[start : start + _READ_AT_ONCE]
                yield from pool.map(self.read_commit, some)

    def _read_record(self, path: str) -> bytes:
        try:
            return _in_one_line(lambda: self.storage.read(path, MOST_RECORD_BYTES))
        except FileNotFoundError as fault:
            raise RunFailed(f"{self.storage.uri(path)} went while it was read; again") from fault

    def holding_paths(self) -> dict[int, str]:
        """The path of the record that holds, by unit."""
        return {int(unit.rpartition("/")[2]): records[-1]
                for unit, records in self._record_paths().items()}  # fmt: skip

    def read_commit(self, path: str) -> Commit:
        """One record."""
        return Commit.from_bytes(self._read_record(path), path)

    def units_done(self) -> int:
        """How many units are committed."""
        return len(self._record_paths())

    def commit(self, record: Commit, own: bool = True) -> None:
        """Make a unit's parts visible, once.

        Args:
            record: of the unit.
            own: seal it as this user's; false when parts of it may be another's.

        Raises:
            RunFailed: another driver has committed this unit.
        """
        if own:
            record = Commit.from_bytes(record.to_bytes())  # as it will be read: numbers of one kind
            facts = record.sealed_facts
            record = replace(record, seal=seal(facts, self.storage.address))
        else:
            record = replace(record, seal="")
        try:
            self.storage.create(record.path, record.to_bytes())
        except ObjectExists as fault:
            raise RunFailed(
                f"unit {record.unit} was committed by another run into {self.storage.root}; "
                "this run stops, nothing is lost or doubled"
            ) from fault

    def withdraw(self, units: list[int]) -> None:
        """Take back the commits of units whose input rows changed; their parts become orphans."""
        records = self._record_paths()
        self._delete_records([records.get(f"{UNITS}/{unit:08d}", []) for unit in units])

    def _delete_records(self, of_units: list[list[str]]) -> None:
        """Remove all records of units, the one that holds last: what was before it must never hold
        again."""
        self.storage.delete_many([path for records in of_units for path in records[:-1]])
        self.storage.delete_many([path for records in of_units for path in records[-1:]])

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
            except ForeignPath:
                return f"{path} is a link, or what no run puts there"
            except OSError as fault:
                return f"{path} cannot be read: {fault.strerror or type(fault).__name__}"
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
        return [path for name in folders for path in self.storage.list(name) if OWN.fullmatch(path)]

    def _orphans(self, folder: str, named: set[str], changed: dict[str, Commit]) -> Iterator[str]:
        """Objects of ours in a folder that are not named; what a named folder holds is not even
        listed, but where some of its rows may have been done again."""
        for path in self.storage.children(folder):
            if path in changed and OWN_FOLDER.fullmatch(path):
                yield from (own for own in self._own((path,)) if own not in changed[path].files)
            if path in named:
                continue
            if OWN.fullmatch(path):
                yield path
            elif OWN_FOLDER.fullmatch(path):
                with suppress(ForeignPath):  # a link is no run's: it stays, with what it leads to
                    yield from self._own((path,))

    def sweep(self, folders: tuple[str, ...] = SWEPT) -> int:
        """Remove what attempts of ours left and no commit names; returns how many objects went.

        Args:
            folders: where to look.
        """
        # before the parts that they name
        superseded = [path for records in self._record_paths().values() for path in records[:-1]]
        self.storage.delete_many(superseded)
        named, changed = set[str](), dict[str, Commit]()
        for commit in self.each_commit():
            named.update((*commit.data, *commit.error_parts, *commit.audio))
            if commit.generation:
                changed.update(dict.fromkeys(commit.audio, commit))
        orphans = [
            path for folder in (*folders, LOG) for path in self._orphans(folder, named, changed)
        ]
        self.storage.delete_many(orphans)
        return len(orphans)

    def clear(self) -> None:
        """Remove a former run of ours, its record last; where there is none, nothing goes."""
        if self.read_run() is None:
            return
        # records before the parts that they name: a kill between must leave no promise behind
        self._delete_records(list(self._record_paths().values()))
        self.storage.delete_many([*self._own((*SWEPT, LOG)), REPORT])
        self.storage.delete(RUN)


def open_output(output: str) -> tuple[CommitLog, dict[str, Any]]:
    """The commit log of an OUTPUT and its ``run.json``.

    Raises:
        UsageError: no run was ever started there, or what is there is none.
        RunFailed: storage did not answer.
    """
    try:
        commit_log = CommitLog(Storage(output))
    except UnknownFileSystem as fault:
        raise UsageError(str(fault)) from fault
    facts = commit_log.read_run()
    if facts is None:
        raise UsageError(f"{output} holds no run.json; give the OUTPUT of a run")
    return commit_log, facts


def _sealed(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in _SEALED}


def committed_parts(output: str, kind: str = "data") -> list[str]:
    """Full addresses of the parts that commits name.

    Args:
        output: OUTPUT of a run.
        kind: ``"data"`` or ``"errors"``.
    """
    storage = Storage(output)
    return [
        storage.uri(path)
        for commit in CommitLog(storage).each_commit()
        for path in (commit.data if kind == "data" else commit.error_parts)
    ]
