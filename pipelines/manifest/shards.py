"""Bring the columns of a manifest's text files together, as those of one file are.

A column has one type in a file, which follows from its values there: a list that is empty in all
rows of one file tells nothing of what the next file's lists hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from pipelines.manifest.sources import Source
from pipelines.manifest.tables.column_types import merged
from pipelines.manifest.tables.noticed import Noticed
from pipelines.manifest.tables.scan import Scan


def alike(sources: list[Source], scan: Scan) -> list[Source]:
    """Sources whose columns have types that go together.

    Files with a column of another type than the rest are read again: by the type that it has
    elsewhere, and as text in all of them where their values are of mixed kinds.

    Args:
        sources: of one INPUT; only text files that were read whole are looked at.
        scan: by which they were read.
    """
    apart = _apart(sources)
    if not apart:
        return sources
    expected = {name: kind for name, kind in apart.items() if kind is not None}
    again = replace(scan, expected=expected, noticed=Noticed())
    sources = [_read_again(source, again, expected, is_text=True) for source in sources]
    apart = _apart(sources)
    again = replace(scan, as_text=frozenset(apart), noticed=Noticed())
    return [_read_again(source, again, apart, is_text=False) for source in sources]


def _apart(sources: list[Source]) -> dict[str, pa.DataType | None]:
    """Columns whose types do not go together, and the one that those go together in which are no
    text; None where there is none."""
    kinds: dict[str, list[pa.DataType]] = {}
    for source in sources:
        for field in source.schema if source.again else ():
            known = kinds.setdefault(field.name, [])
            if field.type not in known:
                known.append(field.type)
    return {
        name: _common(kind for kind in known if not pa.types.is_string(kind))
        for name, known in kinds.items()
        if len(known) > 1 and _common(known) is None
    }


def _common(kinds: Iterable[pa.DataType]) -> pa.DataType | None:
    found: pa.DataType | None = pa.null()
    for kind in kinds:
        found = None if found is None else merged(found, kind)
    return found


def _read_again(source: Source, scan: Scan, names: Iterable[str], is_text: bool) -> Source:
    """A source as another scan reads it, where one of some columns is text, or is none."""
    found = [source.schema.field(name).type for name in names if name in source.schema.names]
    if source.again is None or not any(pa.types.is_string(kind) == is_text for kind in found):
        return source
    # as many rows as before, whatever was read of other files
    rows = None if scan.rows is None else source.rows
    return source.again(replace(scan, rows=rows, characters=0, cells=0))
