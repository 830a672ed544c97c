"""Find out why ids repeat, and what would make each the id of one row.

Ids may label something else than rows, may be counted anew in every file, or belong to rows that
are equal, as where prompts were drawn with replacement. Each has its own remedy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from actors.columnar.column_names import ID, ColumnNames
from pipelines.errors import UsageError
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.aliases import ALIASES
from pipelines.planning.keys.indexed_rows import SeenIds
from pipelines.planning.keys.row_keys import id_number
from pipelines.planning.row_index import named_contents, read_columns, row_batches
from uniaudio2.shown import quoted

_EXAMPLES = 3
_MOST_ROWS = 4_000_000  # of which values of columns are compared: 60 bytes a value
_TELLING = ("id", "key", "name", "hash", "path", "file", "url")
_PLACE = "--set manifest.id=place makes ids of file names and row numbers"


@dataclass
class _Repeated:
    """Ids that occur more than once.

    Attributes:
        contents: hashes of their rows' contents, and how many rows there are of each.
        sources: the numbers of the files that they occur in, and how often.
        tars: those that are keys of a tar's members.
    """

    contents: dict[str, Counter[bytes]] = field(default_factory=dict)
    sources: dict[str, Counter[int]] = field(default_factory=dict)
    tars: set[str] = field(default_factory=set)

    def add(self, name: str, content: bytes, source: int, is_tar: bool) -> None:
        self.contents.setdefault(name, Counter())[content] += 1
        self.sources.setdefault(name, Counter())[source] += 1
        if is_tar:
            self.tars.add(name)

    def names(self) -> list[str]:
        return sorted(name for name, found in self.contents.items() if found.total() > 1)


def refuse_repeated(
    sources: list[Source], counts: list[int], seen: SeenIds, column: str = ID
) -> None:
    """Look at the ids again, only if hashes repeat, and say why some do.

    Args:
        sources: of INPUT.
        counts: how many rows of each are taken.
        seen: all ids.
        column: that the ids come from.

    Raises:
        UsageError: an id occurs more than once.
    """
    repeated = seen.repeated()
    if not repeated:
        return
    found = _Repeated()
    for number, (source, rows) in enumerate(zip(sources, counts, strict=True)):
        for name, content in named_contents(source, rows):
            if name is not None and id_number(name) in repeated:
                found.add(name, content, number, source.pinned)
    names = found.names()
    if not names:
        return
    differing = [name for name in names if len(found.contents[name]) > 1]
    if not differing:
        raise UsageError(_of_equal_rows(names, found, sources, counts))
    examples = ", ".join(quoted(name, 80) for name in differing[:_EXAMPLES])
    split = [n for n in differing if n in found.tars and max(found.sources[n].values()) > 1]
    if split:
        raise UsageError(
            f"{len(split)} keys of tars, such as {quoted(split[0])}, are of members that do not "
            "lie side by side; pack the tar again with --sort=name, or one sample after the other"
        )
    total = sum(counts)
    if all(max(found.sources[name].values()) == 1 for name in names):
        raise UsageError(
            f"{len(names)} ids occur in several files, such as {examples}: each file counts by "
            f"itself. {_PLACE}"
        )
    others = len(names) - len(differing)
    equal = f" ({others} more are of rows that are equal in every column)" if others else ""
    raise UsageError(
        f"column {quoted(column)} has {seen.different()} different values in {total} rows, and "
        f"{len(differing)} of them, such as {examples}, are of rows that differ: it labels "
        f"something else than a row{equal}. {_remedy(sources, counts, column)}"
    )


def _of_equal_rows(
    names: list[str], found: _Repeated, sources: list[Source], counts: list[int]
) -> str:
    rows = sum(found.contents[name].total() for name in names)
    unread = any(
        (read := read_columns(source)) is not None and len(read) < len(source.schema)
        for source in sources
    )
    equal = f"equal in every column{' but those that hold sounds' if unread else ''}"
    if any(ID in source.schema.names for source in sources):
        why = (
            f"{len(names)} ids, such as {quoted(names[0], 80)}, are of {rows} rows that are {equal}"
        )
    else:
        why = f"{rows - len(names)} of {sum(counts)} rows are copies of others, {equal}"
    return (
        f"{why}. Where rows were drawn with replacement, as prompts are, {_PLACE} for each; "
        "else remove the copies"
    )


def _remedy(sources: list[Source], counts: list[int], column: str) -> str:
    unique = _unique_column(sources, counts, column)
    own = {_own_name(source, unique) for source in sources} if unique else set()
    if len(own) != 1:
        return _PLACE
    name = own.pop()
    return (
        f"All values of column {quoted(name)} differ: --set manifest.id={name} takes them; "
        f"or {_PLACE}"
    )


def _own_name(source: Source, name: str) -> str:
    """The name of a column in its file, by which ids are taken from it."""
    renamed = ColumnNames.of_text(source.names).renamed
    return {new: old for old, new in renamed.items()}.get(name, name)


def _unique_column(sources: list[Source], counts: list[int], column: str) -> str | None:
    """A column that tells rows apart, by its name and by all its values."""
    if sum(counts) > _MOST_ROWS:
        return None
    candidates = [name for name in _ranked(sources) if name not in (ID, column)]
    seen: dict[str, set[int]] = {name: set() for name in candidates}
    for source, rows in zip(sources, counts, strict=True):
        for table in row_batches(source, rows, list(seen)):
            for name in list(seen):
                if not _are_new(table[name].to_pylist(), seen[name]):
                    del seen[name]
            if not seen:
                return None
    return next(iter(seen))


def _are_new(values: list[object], known: set[int]) -> bool:
    """Take in hashes of values; False once one is not new, or is none."""
    before = len(known)
    known.update(map(hash, values))
    return len(known) == before + len(values) and None not in values


def _ranked(sources: list[Source]) -> Iterable[str]:
    """Columns of all files whose names promise that they tell rows apart, sounds first."""
    names = [
        field.name
        for field in sources[0].schema
        if pa.types.is_string(field.type) or pa.types.is_integer(field.type)
    ]
    names = [name for name in names if all(name in one.schema.names for one in sources)]
    sounds = [name for name in names if name.lower() in ("audio", *ALIASES["audio"])]
    return dict.fromkeys([*sounds, *(n for n in names if n.lower().endswith(_TELLING))])
