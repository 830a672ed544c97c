"""The failed rows of committed units, found in a plan and cut into units of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from actors.batch.channel_rows import whole_id
from actors.batch.unit import UnitSpec
from pipelines.jobs.commits.committer import Redo
from pipelines.jobs.pending import known_keys, part_of
from pipelines.planning.keys.row_keys import id_number, key_array
from pipelines.planning.plan import Plan
from pipelines.run_state.commit_record import FIRST_MERGED, Commit
from pipelines.run_state.records import UnitRuns


class FailedRows:
    """Collects failed rows, one committed unit after the other.

    Args:
        plan: of the job's INPUT.
        each_channel: ids of results may be those of a row's channels.

    Attributes:
        redo: the committed unit that each unit of failed rows belongs to.
        names: ids that each is to bring back.
    """

    def __init__(self, plan: Plan, each_channel: bool) -> None:
        self._units = plan.units
        self._each_channel = each_channel
        self.redo: dict[int, Redo] = {}
        self.names: dict[int, frozenset[str]] = {}
        self._planned = {unit.unit: unit for unit in plan.units}
        ids = key_array(unit.row_keys for unit in plan.units)["id"]
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._starts = np.cumsum([0, *(unit.stop - unit.start for unit in plan.units)])
        self._found: dict[tuple[int, int], dict[int, list[str]]] = {}
        self._used = UnitRuns([(0, len(plan.units))])

    def keys_of(self, commit: Commit) -> bytes:
        """The keys of a record's rows, one behind the other."""
        return known_keys(commit, self._planned) or b""

    def add(self, commit: Commit, names: Sequence[str]) -> int:
        """Take in failed rows of a unit.

        Args:
            commit: of the unit.
            names: their ids.

        Returns:
            how many of them the plan does not have as they were.
        """
        self._used.add([(commit.unit, commit.unit), *commit.replaces])
        there = key_array([self.keys_of(commit) if names else b""])
        keys = dict(zip(there["id"].tolist(), there["columns"].tolist(), strict=True))
        missing = 0
        for name in names:
            place = self._place(name, keys)
            if place is None:
                missing += 1
            else:
                rows = self._found.setdefault((commit.unit, place[0]), defaultdict(list))
                rows[place[1]].append(name)
        return missing

    def _place(self, name: str, keys: Mapping[int, int]) -> tuple[int, int] | None:
        """The unit of the plan that a row is in, by its index, and its place there."""
        for row_id in dict.fromkeys([name, whole_id(name)] if self._each_channel else [name]):
            number = id_number(row_id)
            at = int(np.searchsorted(self._ids, number))
            if at == len(self._ids) or int(self._ids[at]) != number:
                continue
            row = int(self._order[at])
            index = int(np.searchsorted(self._starts, row, side="right")) - 1
            inside = row - int(self._starts[index])
            # not of the file: one that was mended is what a retry is for
            columns = int(key_array([self._units[index].row_keys])["columns"][inside])
            return (index, inside) if keys.get(number) == columns else None
        return None

    def units(self) -> list[UnitSpec]:
        """Units of the rows, with numbers that no commit has; `redo` and `names` tell of them."""
        made = []
        free = max(last for _, last in self._used.runs if last < FIRST_MERGED) + 1
        for number, ((committed, index), rows) in enumerate(self._found.items(), free):
            places = sorted(rows)
            unit = part_of(self._units[index], number, np.array(places, np.int64))
            names = tuple(name for place in places for name in rows[place])
            wanted = names if self._each_channel else ()
            made.append(replace(unit, only=tuple(places), wanted=wanted))
            self.names[number] = frozenset(names)
            self.redo[number] = Redo(committed, self.names[number].__contains__, True)
        return made
