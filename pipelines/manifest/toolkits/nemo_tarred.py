"""NeMo's tarred manifests: their entries name members of the tars beside them, by shard.

An entry whose recording is in its tar already, for another span of it, is called ``a-sub1.wav``;
the member is ``a.wav``. Files that are written in shards are named with ``_OP_0..7_CL_``, which
stands for braces.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.manifest.tables.row_tables import Row, fault_row
from uniaudio2.shown import quoted

_NAME = "audio_filepath"
_SHARD = "shard_id"
_REPEATED = re.compile(r"-sub\d+(\.\w+)?$")
_NUMBER = re.compile(r"(.*?)(\d{1,9})")
_BRACES = re.compile(r"(?:_OP_|\{)((?:\w+\.\.\w+)|(?:[^{}]*?,[^{}]*?))(?:_CL_|\})")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")
_MOST_FILES = 100_000


def expanded(path: str) -> list[str]:
    """The files that a name with ranges stands for, such as ``audio__OP_0..7_CL_.tar`` or
    ``a-{00..12}.tar``; none where it holds no range.

    Raises:
        UsageError: they are too many.
    """
    parts = _BRACES.split(path)
    if len(parts) == 1:
        return []
    choices: list[list[str]] = []
    count = 1
    for place, part in enumerate(parts):
        found = _chosen(part) if place % 2 else [part]
        count *= len(found)
        if count > _MOST_FILES:
            raise UsageError(f"{path} stands for more than {_MOST_FILES} files; name fewer")
        choices.append(found)
    return ["".join(names) for names in itertools.product(*choices)]


def _chosen(inner: str) -> list[str]:
    """What stands between braces, one by one; numbers keep the zeros that they begin with."""
    found = _RANGE.fullmatch(inner)
    if found is None:
        return inner.split(",")
    first, last = int(found[1]), int(found[2])
    if last - first > _MOST_FILES:
        raise UsageError(f"{inner} stands for more than {_MOST_FILES} files; name fewer")
    width = len(found[1]) if found[1].startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def shard_number(name: str) -> int | None:
    """The number at the end of a file's name without its suffix; None where there is none."""
    found = _NUMBER.fullmatch(posixpath.basename(name).partition(".")[0])
    return int(found[2]) if found else None


def by_shard(tars: Iterable[str]) -> dict[int, str]:
    """Tars by their numbers: of those called ``audio``, else of those that share a name.

    Raises:
        UsageError: several are called otherwise, and any of them may be meant.
    """
    groups: dict[str, dict[int, str]] = {}
    for tar in sorted(tars):
        found = _NUMBER.fullmatch(posixpath.basename(tar).partition(".")[0])
        if found:
            groups.setdefault(found[1], {})[int(found[2])] = tar
    known = groups.get("audio_") or groups.get("audio")
    if known is None and len(groups) > 1:
        names = ", ".join(quoted(name, 40) for name in sorted(groups)[:3])
        raise UsageError(
            f"a tarred manifest of NeMo, and its tars may be those called {names}; keep only its "
            "own beside it"
        )
    return known or next(iter(groups.values()), {})


def names_shard(row: Mapping[str, object], manifest: str) -> int | None:
    """The shard of an entry, by itself or by its manifest's name; None where it is no entry."""
    name, shard = row.get(_NAME), row.get(_SHARD)
    if not isinstance(name, str) or "://" in name or row.get("audio") is not None:
        return None
    if isinstance(shard, int) and not isinstance(shard, bool):
        return shard
    return shard_number(manifest) if shard is None else None


def member_of(name: str, members: Mapping[str, str]) -> str | None:
    """The member of a tar that an entry is heard in, by its name there."""
    name = name.removeprefix("./")
    plain = _REPEATED.sub(r"\1", name)
    return next((known for known in (name, plain) if known in members), None)


@dataclass
class Shards:
    """The tars of a manifest.

    Args:
        manifest: its address.
        tars: addresses by shard.
        look: members of a tar, by name; each tar is looked at once.

    Attributes:
        used: members that entries name, by shard.
    """

    manifest: str
    tars: Mapping[int, str]
    look: Callable[[str], dict[str, str]]
    used: dict[int, set[str]] = field(default_factory=dict)
    _members: dict[int, dict[str, str]] = field(default_factory=dict)

    def row(self, row: Row) -> Row:
        """An entry as a row whose `audio` is inside its tar; any other object as it is."""
        shard = names_shard(row, self.manifest)
        if shard is None:
            return row
        name = row[_NAME]
        row_id = name if row.get("id") is None else str(row["id"])
        if shard not in self.tars:
            return fault_row(
                row_id, f"there is no tar of shard {shard} beside the manifest; fetch it again"
            )
        members = self._of(shard)
        found = member_of(name, members)
        if found is None:
            tar = quoted(posixpath.basename(self.tars[shard]), 80)
            return fault_row(
                row_id, f"{quoted(name, 80)} is no member of {tar}, which is the tar of its shard"
            )
        self.used.setdefault(shard, set()).add(found)
        return {**row, "id": row_id, "audio": members[found]}

    def _of(self, shard: int) -> dict[str, str]:
        if shard not in self._members:
            self._members[shard] = self.look(self.tars[shard])
        return self._members[shard]

    def unused(self) -> Counter[str]:
        """Members that no entry names, of tars that were looked at, by suffix."""
        return Counter(
            posixpath.splitext(name)[1]
            for shard, members in self._members.items()
            for name in members.keys() - self.used.get(shard, set())
        )


def numbered(table: pa.Table) -> pa.Table:
    """Rows of one tar; of those that share a name which is their id, all but the first have their
    number behind it."""
    if not {"id", "audio_filepath"} <= {*table.column_names}:
        return table
    seen = Counter[str]()
    ids = table["id"].to_pylist()
    for place, name in enumerate(table["audio_filepath"].to_pylist()):
        if name and ids[place] == name:
            seen[name] += 1
            ids[place] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return table.set_column(table.column_names.index("id"), "id", pa.array(ids, pa.string()))
