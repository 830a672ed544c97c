"""What a corpus is to us: how its files are known, and how they become rows."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.tables.row_tables import NumberedRows, Row, table_of_rows
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import CharacterCount


@dataclass(frozen=True)
class Found:
    """Metadata of a corpus that an INPUT holds.

    Attributes:
        names: of its files, those that are read.
        note: what of it is taken, where there is a choice.
        packed: archives that its audio still lies in, where no names are given.
    """

    names: list[str]
    note: str = ""
    packed: tuple[str, ...] = ()


FindMetadata = Callable[[CorpusFiles], Found]
ReadRows = Callable[[CorpusFiles, list[str], CharacterCount], Iterator[Row]]


@dataclass(frozen=True)
class Corpus:
    """A corpus, or all that are laid out as it is.

    Attributes:
        name: of the setting ``manifest.corpus``.
        title: its own name.
        files: those that it is known by, in words.
        find: its metadata among the files of an INPUT; no names where it is another corpus.
        rows: from names of metadata, each with `id`, `audio` by its name in INPUT, `text`, and
            what else is said of it; None where metadata are tables of their own, whose column
            `file_name` names the audio.
        beside: folders next to a metadata file that hold its audio, where such a file may be
            named as INPUT itself.
    """

    name: str
    title: str
    files: str
    find: FindMetadata
    rows: ReadRows | None
    beside: tuple[str, ...] = ()

    def table(self, files: CorpusFiles, found: Found, scan: Scan) -> pa.Table:
        """Its rows.

        Args:
            files: of INPUT; they are told which of them the rows name.
            found: its metadata.
            scan: how many rows suffice.
        """
        rows = self.rows
        if rows is None:
            raise ValueError(f"{self.name} is tables already; read them as such")

        def numbered(meter: CharacterCount) -> NumberedRows:
            files.begin()
            yield from enumerate(rows(files, found.names, meter), 1)
            files.is_whole = True

        return table_of_rows(numbered, scan)


def folder_of(name: str) -> str:
    """The folder of a file, with a slash behind it; "" for INPUT itself."""
    folder = posixpath.dirname(name)
    return folder + "/" if folder else ""


def cells_of(line: str, delimiter: str, *counts: int) -> list[str]:
    """Cells of a line in which quotes are text.

    Raises:
        ValueError: they are not so many.
    """
    cells = line.split(delimiter)
    if len(cells) not in counts:
        wanted = " or ".join(map(str, counts))
        sign = {"\t": "tabs", "|": "bars"}.get(delimiter, "spaces")
        raise ValueError(f"{len(cells)} cells between {sign}; {wanted} are needed")
    return cells


def key_and_text(line: str) -> tuple[str, str]:
    """The first word of a line, which names a sound, and the rest of it, which may be empty."""
    key, *text = line.split(maxsplit=1)
    return key, text[0].strip() if text else ""
