"""One scan of an INPUT: how much of it is wanted, and what was noticed while it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import pyarrow as pa

from actors.prefetch.in_processes import Readers
from pipelines.manifest.tables.noticed import Noticed
from pipelines.manifest.tables.options import (
    NEW_IDS,
    Dialect,
    IdsBefore,
    LinkPolicy,
    MadeIds,
    Suffixes,
    TextFormat,
)
from pipelines.manifest.tables.text_ids import TextIds

# columns and their types are those of at least so much of a text manifest
LOOK_CHARACTERS = 1 << 20
# or at least so many cells, where short rows have many columns
LOOK_CELLS = 2_000_000


@dataclass(frozen=True)
class ReadArchive:
    """What was read of a tar or zip.

    Attributes:
        table: its rows.
        noticed: of it, as `Noticed.text` has it.
    """

    table: pa.Table
    noticed: str


class KnownTables(Protocol):
    """What is known of Parquet files and archives that were read before."""

    def table(self, uri: str, identity: str) -> tuple[int, pa.Schema] | None:
        """Rows and columns of a file; None where it must be read.

        Args:
            uri: its address.
            identity: its size and what else tells it from another, see `Source`.
        """
        ...

    def note(self, uri: str, schema: pa.Schema) -> None:
        """Take in the columns of a file as it has them."""
        ...

    def archive(self, uri: str, identity: str, settings: str) -> ReadArchive | None:
        """What was read of an archive, by the same settings; None where it must be read."""
        ...

    def keep_archive(self, uri: str, identity: str, settings: str, read: ReadArchive) -> None:
        """Take in what was read of an archive."""
        ...


@dataclass
class Scan:
    """Options and budget of one scan of an INPUT.

    Attributes:
        rows: how many rows suffice; None for all.
        links: whether links that lead out of a local INPUT are followed.
        suffixes: files that are audio by a known suffix, or all that are audio by their content.
        dialect: what is given of how tables of text are written.
        names: columns of INPUT by the names that they are given.
        ids_from: column whose values are the ids, or "".
        ids: "place" makes ids of file names and row numbers, "content" of all that rows hold; ""
            takes them from column `id`, and of the content where there is none.
        format: "paths" takes the lines of text files as paths of audio; "" goes by what files are.
        base: folder that relative audio paths start in; "" is that of each manifest.
        allow: beginnings of addresses that manifests may name besides, see `AddressPolicy`.
        corpus: the corpus that INPUT is; "auto" finds it by its files, "none" looks for none.
        ids_before: how rows got their ids that OUTPUT has; reading the first of many tars settles
            it.
        texts: those of the text files that were read so far.
        characters: of text manifests that are read in any case, so that the columns of all but the
            largest do not depend on `rows`.
        cells: rows times columns after which no more characters are read.
        expected: types of columns in the other files of INPUT.
        as_text: columns that are text in all its files, as their kinds differ.
        known: files whose footers need not be read, and archives; None reads all.
        files: how many Parquet files suffice, of more than twice as many, and fewer tars; None
            takes all.
        later: files that were found and not taken.
        readers: processes that read where there are very many files; None leaves it to threads.
        noticed: what a user should know of INPUT; filled while it is read.
    """

    rows: int | None = None
    links: LinkPolicy = "follow"
    suffixes: Suffixes = "known"
    dialect: Dialect = field(default_factory=Dialect)
    names: Mapping[str, str] = field(default_factory=dict)
    ids_from: str = ""
    ids: MadeIds = ""
    format: TextFormat | Literal[""] = ""
    base: str = ""
    allow: tuple[str, ...] = ()
    corpus: str = "auto"
    ids_before: IdsBefore = NEW_IDS
    texts: TextIds = field(default_factory=TextIds)
    characters: int = LOOK_CHARACTERS
    cells: int = LOOK_CELLS
    expected: Mapping[str, pa.DataType] = field(default_factory=dict)
    as_text: frozenset[str] = frozenset()
    known: KnownTables | None = None
    files: int | None = None
    later: int = 0
    readers: Readers | None = None
    noticed: Noticed = field(default_factory=Noticed)

    def suffices(self, rows: int, characters: int, cells: int = 0) -> bool:
        """Tell whether no more than so many rows, read from so many characters, are needed."""
        is_seen = characters >= self.characters or cells >= self.cells
        return self.rows is not None and rows >= self.rows and is_seen

    def take(self, rows: int, characters: int = 0, cells: int = 0) -> None:
        """Count what a source gave."""
        if self.rows is not None:
            self.rows = max(self.rows - rows, 0)
            self.characters = max(self.characters - characters, 0)
            self.cells = max(self.cells - cells, 0)

    def first_files(self, uris: list[str], cost: int = 1) -> list[str]:
        """Those of a set of files that are wanted.

        Args:
            uris: of the files.
            cost: of looking at one of them, where that of a Parquet file is 1.
        """
        if self.files is None:
            return uris
        count = max(self.files // cost, 1)
        if len(uris) <= 2 * count:
            return uris
        self.later += len(uris) - count
        return uris[:count]

    def of_one_file(self) -> Scan:
        """A scan of one file as if it were the only one, which notices for this one."""
        return replace(self, characters=LOOK_CHARACTERS, cells=LOOK_CELLS)
