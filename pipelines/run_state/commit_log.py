"""The commit log: one small JSON object a unit, written last and by the driver alone.

``_log/units/00000007.json`` names the parts of unit 7. What no record names does not exist for
readers. A record is created only if it is absent, so a second driver can never commit a unit
again; resuming is the set difference between the plan's units and the records. A retry of failed
rows writes ``00000007-0001.json``, the whole state of unit 7 after it: of a unit's records the last
one holds, and those before it go when the retry has ended. Where parts are merged, one record
replaces many, see `Records`.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from actors.batch.names import ATTEMPTS_FOLDER, FOLDER
from actors.batch.receipt import file_mark
from actors.storage.file_systems import UnknownFileSystem
from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import ObjectExists, Storage
from pipelines.causes import OTHER_RUN, stopped
from pipelines.errors import UsageError
from pipelines.run_state.commit_record import (
    FIRST_MERGED,
    FORMAT_VERSION,
    LOG,
    NEWER,
    OWN,
    OWN_FOLDER,
    PLAN,
    RECORD_NAME,
    UNITS,
    Commit,
)
from pipelines.run_state.records import Records, UnitRuns, in_one_line
from pipelines.run_state.run_facts import MOST_BYTES, parse_run
from pipelines.run_state.seals import is_sealed, seal

RUN = "run.json"
REPORT = "report.html"
DRIVER = f"{LOG}/driver.json"
RESULTS = ("data", "errors", "audio")
SWEPT = (*RESULTS, FOLDER, ATTEMPTS_FOLDER)
_SEALED = ("job", "config", "input")
_READ_THREADS = 16


class CommitLog:
    """The state of a run, read from and written to OUTPUT alone."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.records = Records(storage)

    def read_run(self) -> dict[str, Any] | None:
        """``run.json``, or None when OUTPUT has none.

        Raises:
            UsageError: the file is not ours.
        """
        try:
            return parse_run(in_one_line(lambda: self.storage.read(RUN, MOST_BYTES)))
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
        for path in (*SWEPT, LOG, UNITS, PLAN, DRIVER, RUN, REPORT):
            if self.storage.is_link(path):
                raise UsageError(
                    f"{self.storage.root}/{path} is a link; nothing is written, listed or deleted "
                    "through links inside an OUTPUT: put what it leads to in its place, or make "
                    "all of OUTPUT the link"
                )

    def each_commit(self) -> Iterator[Commit]:
        """Every commit record that holds, few in memory at a time, see `Records.holding`."""
        return self.records.holding()

    def commit(self, record: Commit, own: bool = True) -> Commit:
        """Make a unit's parts visible, once; returns the record as it is stored.

        Args:
            record: of the unit.
            own: seal it as this user's; false when parts of it may be another's.

        Raises:
            RunFailed: another driver has committed this unit.
        """
        if own:
            record = Commit.from_bytes(record.to_bytes())  # as it will be read: numbers of one kind
            record = replace(record, seal=seal(record.sealed_facts, self.storage.address))
        else:
            record = replace(record, seal="")
        try:
            self.storage.create(record.path, record.to_bytes())
        except ObjectExists as fault:
            what = f"unit {record.unit} was committed by another run into {self.storage.root}"
            raise stopped(OTHER_RUN, what) from fault
        return record

    def withdraw(self, units: list[int]) -> None:
        """Take back the commits of units, whose input rows changed or went; their parts become
        orphans."""
        found = self.records.paths()
        replaced = UnitRuns()
        for unit in units:
            if unit >= FIRST_MERGED and unit in found:
                replaced.add(self.records.read(found[unit][-1]).replaces)
        gone = [number for number in found if number in replaced]
        self._delete_records([found[number] for number in gone])
        self._delete_records([found[unit] for unit in units if unit in found])

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

    def _orphans(
        self, folder: str, named: set[str], changed: dict[str, Container[str]]
    ) -> Iterator[str]:
        """Objects of ours in a folder that are not named; what a named folder holds is not even
        listed, but where some of its rows may have been done again."""
        for path in self.storage.children(folder):
            if path in changed and OWN_FOLDER.fullmatch(path):
                yield from (own for own in self._own((path,)) if own not in changed[path])
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
        self.storage.delete_many(self.records.superseded())
        named, changed = set[str](), dict[str, Container[str]]()
        for commit in self.each_commit():
            named.update((*commit.data, *commit.error_parts, *commit.audio))
            if commit.generation:
                changed.update(dict.fromkeys(commit.audio, frozenset(commit.files)))
        # records that were not whole when their writer was killed
        orphans = [path for path in self._own((UNITS,)) if not RECORD_NAME.fullmatch(path)]
        orphans += [
            path for folder in (*folders, LOG) for path in self._orphans(folder, named, changed)
        ]
        self.storage.delete_many(orphans)
        return len(orphans)

    def clear(self) -> None:
        """Remove a former run of ours, its record last; where there is none, nothing goes."""
        if self.read_run() is None:
            return
        # records before the parts that they name: a kill between must leave no promise behind
        found = self.records.paths()
        self._delete_records([paths for unit, paths in found.items() if unit < FIRST_MERGED])
        for unit in sorted(n for n in found if n >= FIRST_MERGED):  # behind what it replaces
            self._delete_records([found[unit]])
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
