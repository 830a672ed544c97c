"""Rows of many sources, read at once: what comes of it is what reading them in order gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from actors.prefetch.in_order import in_order
from actors.prefetch.in_processes import Memory, Readers
from pipelines.manifest.sources import AT_ONCE, Source, read_ahead, threads_for
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.keys.indexed_rows import IndexedRows
from pipelines.planning.named_addresses import AddressScan
from pipelines.planning.row_index import KeptRows, index_rows, planned_names

_LARGE_ROWS = 1 << 18  # of a source that is read when its turn comes, a batch at a time
_MOST_ROWS = 1 << 20  # of sources that wait for their turn


@dataclass(frozen=True)
class _Asked:
    """A source whose rows are wanted.

    Attributes:
        source: of a manifest.
        rows: how many of it are taken.
        waits: it is kept, or is read when its turn comes.
        is_apart: its rows name no files, so that what is found of other rows does not matter.
    """

    source: Source
    rows: int
    waits: bool
    is_apart: bool


_Answer = tuple[list[IndexedRows], AddressScan | None] | None


def indexed_sources(
    sources: Sequence[Source],
    counts: Sequence[int],
    named: AddressScan | None,
    stamps: FileStamps,
    kept: KeptRows | None = None,
    readers: Readers | None = None,
) -> Iterator[Iterator[IndexedRows]]:
    """What planning keeps of the rows of each source, in the order of the sources.

    Args:
        sources: of a manifest.
        counts: how many rows of each are taken.
        named: takes in the addresses that rows name; None looks at none.
        stamps: looks at the files that they name.
        kept: what an earlier plan kept of sources whose rows name no files.
        readers: processes for very many sources of that kind.

    Raises:
        UsageError: as `index_rows`, for the first source that has a fault.
    """

    def asks(source: Source, rows: int) -> _Asked:
        names_none = stamps.names_none(planned_names(source))
        is_kept = kept is not None and names_none and kept.has(source)
        waits = is_kept or rows > _LARGE_ROWS or len(sources) == 1
        return _Asked(source, rows, waits, names_none and source.table is None)

    def index(some: Sequence[_Asked]) -> list[_Answer]:
        if readers and len(some) > 1:
            alone = [replace(one, source=_alone(one.source)) for one in some]
            return list(readers.call(some[0].source.reader or 0, _index_beside, alone))
        return [None if one.waits else _indexed(one, named, stamps) for one in some]

    asked = [asks(source, rows) for source, rows in zip(sources, counts, strict=True)]
    if readers and not readers.are_worth(sum(not one.waits for one in asked)):
        readers = None
    threads = threads_for(source.uri for source in sources if source.table is None)
    groups = _groups(asked) if readers else [[one] for one in asked]
    found = in_order(index, groups, threads, lambda some: sum(one.rows for one in some), _MOST_ROWS)
    for one, answer in zip(asked, itertools.chain.from_iterable(found), strict=True):
        source, rows = one.source, one.rows
        keeps = kept if kept and stamps.names_none(planned_names(source)) else None
        known: Iterator[IndexedRows] = iter(())
        if answer is None:
            look = named.look if named else None
            read = partial(index_rows, source, rows, look, stamps)
            known = keeps.rows(source, rows) if keeps else known
        else:
            batches, beside = answer
            read = partial(iter, batches)
            if named and beside:
                named.take(beside)
        yield _with_rest(known, source, rows, read, keeps)


def _indexed(asked: _Asked, named: AddressScan | None, stamps: FileStamps) -> _Answer:
    beside = named.beside() if named else None
    look = beside.look if beside else None
    return list(index_rows(asked.source, asked.rows, look, stamps)), beside


def _groups(asked: Sequence[_Asked]) -> list[list[_Asked]]:
    """Sources one by one, but those together that a process is given, which read their footers."""
    groups: list[list[_Asked]] = []
    number, rows = None, 0
    for one in asked:
        reader = None if one.waits or not one.is_apart else one.source.reader
        is_full = number is None or len(groups[-1]) == AT_ONCE or rows + one.rows > _LARGE_ROWS
        if reader is None or reader != number or is_full:
            groups.append([])
            rows = 0
        groups[-1].append(one)
        number, rows = reader, rows + one.rows
    return groups


def _alone(source: Source) -> Source:
    """A source without what only this process has of it."""
    return replace(source, again=None, ahead=None)


def _index_beside(memory: Memory, some: Sequence[_Asked]) -> list[_Answer]:
    """As `_indexed`, in a process, for rows that name no files."""
    threads = threads_for(one.source.uri for one in some)
    ready = [replace(one, source=read_ahead(memory, one.source)) for one in some]
    return list(in_order(lambda one: _indexed(one, None, FileStamps(None)), ready, threads))


def _with_rest(
    known: Iterator[IndexedRows],
    source: Source,
    rows: int,
    read: Callable[[], Iterator[IndexedRows]],
    keeps: KeptRows | None,
) -> Iterator[IndexedRows]:
    """What was kept of rows, and from where it no longer holds on what is read of them."""
    place = first = 0
    for batch in known:
        place += len(batch)
        yield batch
    if place == rows:
        return
    for batch in keeps.keeping(source, read(), rows) if keeps else read():
        behind = first + len(batch)
        if first >= place:
            yield batch
        elif behind > place:
            yield replace(batch.slice(place - first, len(batch)), wholes=batch.wholes)
        first = behind
