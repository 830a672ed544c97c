"""Rows of many sources, read at once: what comes of it is what reading them in order gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from actors.prefetch.in_order import in_order
from pipelines.manifest.sources import Source, threads_for
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.keys.indexed_rows import IndexedRows
from pipelines.planning.named_addresses import AddressScan
from pipelines.planning.row_index import KeptRows, index_rows, planned_names

_LARGE_ROWS = 1 << 18  # of a source that is read when its turn comes, a batch at a time
_MOST_ROWS = 1 << 20  # of sources that wait for their turn

_Asked = tuple[Source, int]
_Answer = tuple[list[IndexedRows], AddressScan | None] | None


def indexed_sources(
    sources: Sequence[Source],
    counts: Sequence[int],
    named: AddressScan | None,
    stamps: FileStamps,
    kept: KeptRows | None = None,
) -> Iterator[Iterator[IndexedRows]]:
    """What planning keeps of the rows of each source, in the order of the sources.

    Args:
        sources: of a manifest.
        counts: how many rows of each are taken.
        named: takes in the addresses that rows name; None looks at none.
        stamps: looks at the files that they name.
        kept: what an earlier plan kept of sources whose rows name no files.

    Raises:
        UsageError: as `index_rows`, for the first source that has a fault.
    """

    def index(asked: _Asked) -> _Answer:
        source, rows = asked
        if kept and stamps.names_none(planned_names(source)) and kept.has(source):
            return None
        if rows > _LARGE_ROWS or len(sources) == 1:
            return None
        beside = named.beside() if named else None
        look = beside.look if beside else None
        return list(index_rows(source, rows, look, stamps)), beside

    asked = list(zip(sources, counts, strict=True))
    threads = threads_for(source.uri for source in sources if source.table is None)
    answers = in_order(index, asked, threads, lambda one: one[1], _MOST_ROWS)
    for (source, rows), answer in zip(asked, answers, strict=True):
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
