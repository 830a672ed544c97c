"""What is to be done of a plan: rows that an OUTPUT does not hold, or holds of other content.

Rows have an identity, units do not: a row is known by its key (`row_keys`), wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from actors.batch.intermediate_store import kept_path, kept_rows
from actors.batch.unit import UnitSpec, unit_fingerprint
from pipelines.planning.keys.matching import Matched, PlacedKeys, Places, match
from pipelines.planning.keys.row_keys import KEY_BYTES, key_array
from pipelines.planning.plan import Plan
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import FIRST_MERGED, Commit
from pipelines.run_state.records import UnitRuns
from uniaudio2.shown import counted


@dataclass
class Pending:
    """What a run finds to do.

    Attributes:
        units: to do, with numbers that no commit has.
        supersedes: the committed unit whose rows a unit does again, by the number of the latter.
        removed: keys of committed rows that INPUT no longer has, one behind the other, by unit.
        unknown: committed units of format 1 whose input is not what the plan has in their place.
        replaced: units in whose place others hold, whose numbers are not free either.
        same: rows that are done.
        changed: rows that are done again.
    """

    units: list[UnitSpec] = field(default_factory=list)
    supersedes: dict[int, int] = field(default_factory=dict)
    removed: dict[int, bytes] = field(default_factory=dict)
    unknown: list[int] = field(default_factory=list)
    replaced: UnitRuns = field(default_factory=UnitRuns)
    same: int = 0
    changed: int = 0

    @property
    def removed_rows(self) -> int:
        """How many committed rows INPUT no longer has."""
        return sum(map(len, self.removed.values())) // KEY_BYTES

    def next_number(self, plan: Plan) -> int:
        """The first number that no unit has, nor ever had."""
        highest = [last for _, last in self.replaced.runs if last < FIRST_MERGED]
        used = [len(plan.units) - 1, *highest, *(unit.unit for unit in self.units)]
        return max(used) + 1

    def notes(self, removed: str, is_whole: bool) -> Iterator[tuple[str, str]]:
        """What is no longer as it was when it was committed: events, and texts for people.

        Args:
            removed: what becomes of rows that INPUT no longer has, ``"keep"`` or ``"withdraw"``.
            is_whole: all rows of INPUT are in the plan.
        """
        if self.unknown:
            yield (
                "changed",
                f"the rows of {counted(len(self.unknown), 'committed unit')} changed; doing them "
                "again",
            )
        if self.changed:
            yield (
                "changed",
                f"{counted(self.changed, 'row')}, or files that they name, changed since they were "
                "done; doing them again: what was made of them before holds until then",
            )
        if self.removed and is_whole:
            become = (
                "they stay (--removed withdraw takes them out)"
                if removed == "keep"
                else "they go when this run ends"
            )
            yield (
                "removed",
                f"{counted(self.removed_rows, 'row')} of OUTPUT no longer in INPUT: {become}",
            )


def with_kept(units: list[UnitSpec], commit_log: CommitLog) -> list[UnitSpec]:
    """Units that point at the tokens which an earlier attempt kept of their rows."""
    kept = {kept_rows(path): path for path in commit_log.kept()}
    found = []
    for unit in units:
        path = kept.get(kept_rows(kept_path(unit.unit, unit.fingerprint)))
        is_there = path is not None and not commit_log.storage.is_link(path)
        found.append(
            replace(unit, kept=commit_log.storage.uri(path)) if path and is_there else unit
        )
    return found


def part_of(unit: UnitSpec, number: int, rows: Places) -> UnitSpec:
    """Some rows of a unit as a unit of their own.

    Args:
        unit: of a plan.
        number: of the new one.
        rows: places in `unit`, ascending, ``[N]``.
    """
    if len(rows) == unit.stop - unit.start:
        return replace(unit, unit=number)
    keys = key_array([unit.row_keys])[rows].tobytes()
    only = tuple(rows.tolist())
    return replace(unit, unit=number, only=only, keys=keys, fingerprint=unit_fingerprint(keys))


def known_keys(commit: Commit, planned: Mapping[int, UnitSpec]) -> bytes | None:
    """The keys of a committed unit's rows; None where they are not known.

    Args:
        commit: of the unit; records of format 1 hold no keys, and stand for those of the plan's
            unit of their number while its rows are what they were.
        planned: units of the plan by number.
    """
    if commit.keys or commit.rows or not commit.ok + commit.errors:
        return commit.row_keys
    unit = planned.get(commit.unit)
    if unit is None or commit.fingerprint != unit.former:
        return None
    keys = key_array([unit.row_keys]).copy()
    keys["files"] = 0  # nobody looked at them
    data: bytes = keys.tobytes()
    return data


def find_pending(plan: Plan, commits: Iterable[Commit], known: Callable[[Commit], None]) -> Pending:
    """Compare a plan with what is committed.

    Args:
        plan: of the run.
        commits: that hold.
        known: is given every commit whose rows are known, once.
    """
    planned = {unit.unit: unit for unit in plan.units}
    found, there, wanted = Pending(), PlacedKeys(), PlacedKeys()
    numbers, ends = list[int](), list[int]()
    for commit in commits:
        keys = known_keys(commit, planned)
        if keys is None:
            found.unknown.append(commit.unit)
            continue
        known(commit)
        there.add(keys)
        numbers.append(commit.unit)
        ends.append(len(there))
        found.replaced.add(commit.replaces)
    for unit in plan.units:
        wanted.add(unit.row_keys)
    matched = match(wanted, there)

    def units_of(places: Places) -> Places:
        return np.array(numbers, np.int64)[np.searchsorted(ends, places, side="right")]

    found.replaced.add((number, number) for number in (*numbers, *found.unknown))
    _cut(found, plan, matched, units_of(matched.before))
    units_gone = units_of(matched.gone)  # rows of a unit lie side by side
    changes = np.flatnonzero(np.diff(units_gone)) + 1
    for places in np.split(np.arange(len(units_gone)), changes) if len(units_gone) else ():
        found.removed[int(units_gone[places[0]])] = matched.gone_keys[places].tobytes()
    found.same, found.changed = int(matched.is_same.sum()), len(matched.changed)
    return found


def _cut(found: Pending, plan: Plan, matched: Matched, units_before: Places) -> None:
    """Units of the rows that are new, and of those that are done again.

    Args:
        found: takes them in.
        plan: of the run.
        matched: with what is committed.
        units_before: the units of its changed rows, ``[C]``.
    """
    free = found.next_number(plan)
    start = 0
    for unit in plan.units:
        stop = start + unit.stop - unit.start
        first, last = np.searchsorted(matched.changed, [start, stop])
        changed, before = matched.changed[first:last] - start, units_before[first:last]
        is_new = ~matched.is_same[start:stop]
        is_new[changed] = False
        if is_new.any():
            number = unit.unit
            if number in found.replaced or not is_new.all():
                number, free = free, free + 1
            found.units.append(part_of(unit, number, np.flatnonzero(is_new)))
        for old in np.unique(before).tolist():
            found.units.append(part_of(unit, free, changed[before == old]))
            found.supersedes[free] = old
            free += 1
        start = stop
