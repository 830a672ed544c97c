"""The files of a corpus: lines of its texts, and the sounds that these name."""

from __future__ import annotations

import copy
import posixpath
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile

from pipelines.manifest.tables.audio_names import AUDIO_SUFFIXES, is_audio_name
from pipelines.manifest.tables.row_tables import Row, fault_row, is_unicode
from pipelines.manifest.tables.text_lines import (
    CharacterCount,
    LongLine,
    TextFile,
    lines_of,
    long_line_message,
)
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

_TEXT_SUFFIXES = (
    ".txt", ".TXT", ".tsv", ".csv", ".jsonl", ".parquet", ".json", ".stm", ".info", ".text",
)  # fmt: skip
_LOOKED_AT, _LOOKED_AT_FILES, _FEW = 20, 1000, 5
_READERS, _READ_TOGETHER = 16, 256
_FILE_CHARACTERS = 512  # what opening a file counts as, besides what is in it
_LONGEST_TEXT = 1 << 20
_SHOWN = 120


class CorpusFiles:
    """Files of an INPUT, of which a corpus takes some.

    Args:
        names: of all files below a folder, sorted.
        open_text: opens one of them as text.
        fault_of: why a file is not to be read, and None where it may be; of a text if told so.
        columns_of: names of the columns of one that is Parquet.

    Attributes:
        fault_of, columns_of: as given.
        texts: names of files that may be metadata.
        missing: how many rows name a sound that is not there.
        is_whole: all rows were read.
        skipped: how many rows were left out, by what they are and why.
    """

    def __init__(
        self,
        names: list[str],
        open_text: Callable[[str], TextFile],
        fault_of: Callable[[str, bool], str | None],
        columns_of: Callable[[str], list[str]],
    ) -> None:
        self._names, self._open = names, open_text
        self.fault_of, self.columns_of = fault_of, columns_of
        self.texts = [one for one in names if one.endswith(_TEXT_SUFFIXES)]
        self._used = bytearray(len(names))
        self.missing = 0
        self.is_whole = False
        self.skipped = Counter[tuple[str, str]]()

    def only(self, text: str) -> CorpusFiles:
        """The same files with one that metadata is looked for in."""
        one = copy.copy(self)
        one.texts = [text]
        return one

    def begin(self) -> None:
        """Forget what was read."""
        self._used = bytearray(len(self._names))
        self.missing, self.is_whole = 0, False
        self.skipped.clear()

    def taken(self) -> Iterator[str]:
        """Names of the files that were read or are named by a row."""
        return (name for name, is_used in zip(self._names, self._used, strict=True) if is_used)

    def ending(self, *endings: str) -> list[str]:
        """Texts whose names end so."""
        return [name for name in self.texts if name.endswith(endings)]

    def called(self, *names: str) -> list[str]:
        """Texts of these names, in whatever folder."""
        return [name for name in self.ending(*names) if posixpath.basename(name) in names]

    def has_folder(self, name: str) -> bool:
        """Tell whether files lie below a folder."""
        at = bisect_left(self._names, name + "/")
        return at < len(self._names) and self._names[at].startswith(name + "/")

    def has_sound(self, folder: str) -> bool:
        """Tell whether a folder, its name with a slash behind it, holds some audio."""
        at = bisect_left(self._names, folder)
        some = self._names[at : at + _LOOKED_AT_FILES]
        return any(name.startswith(folder) and is_audio_name(name) for name in some)

    def with_sounds(self, texts: list[str]) -> list[str]:
        """The first of some texts that lie in folders with audio, a few."""
        heard = (text for text in texts if self.has_sound(text[: text.rfind("/") + 1]))
        return list(islice(heard, _FEW))

    def packed(self, folder: str) -> list[str]:
        """Archives right in a folder, its name with a slash behind it."""
        at = bisect_left(self._names, folder)
        some = self._names[at : at + _LOOKED_AT_FILES]
        inside = takewhile(lambda name: name.startswith(folder), some)
        return [one for one in inside if one.endswith(".tar.gz") and "/" not in one[len(folder) :]]

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        return self._at(name) is not None

    def file(self, name: str) -> str:
        """Take the file that a row names; it is counted where it is missing."""
        at = self._at(name)
        if at is None:
            self.missing += 1
        else:
            self._used[at] = True
        return name

    def sounds(self, *stems: str) -> list[str]:
        """Take the sounds that are there of some names without suffixes, one a name."""
        found = (self._sound_at(stem) for stem in stems)
        indices = [at for at in found if at is not None]
        for at in indices:
            self._used[at] = True
        return [self._names[at] for at in indices]

    def sound(self, suffix: str, *stems: str) -> str:
        """Take the first sound that is there of some names without suffixes.

        Args:
            suffix: that the first would have; it is counted as missing where none is there.
            stems: the names.
        """
        for stem in stems:
            if found := self.sounds(stem):
                return found[0]
        return self.file(stems[0] + suffix)

    def sounds_by_name(self, suffix: str) -> dict[str, str]:
        """Sounds of a suffix, wherever they lie, by their names without folder and suffix."""
        return {
            posixpath.basename(name).removesuffix(suffix): name
            for name in self._names
            if name.endswith(suffix)
        }

    def imply(self, *names: str) -> None:
        """Count files as read which say what others say."""
        for name in names:
            if (at := self._at(name)) is not None:
                self._used[at] = True

    def first_lines(self, name: str) -> list[str]:
        """Some lines that a text begins with; none where it cannot be read."""
        if self.fault_of(name, True):
            return []
        try:
            lines = list(islice(lines_of(self._open(name)), _LOOKED_AT))
        except (BadRow, OSError):
            return []
        return [line for _, line in lines if isinstance(line, str)]

    def start(self, name: str, characters: int) -> str:
        """What a text begins with; nothing where it cannot be read."""
        if self.fault_of(name, True):
            return ""
        try:
            return "".join(islice(self._open(name).texts(), 1))[:characters]
        except (BadRow, OSError):
            return ""

    def rows(
        self, name: str, meter: CharacterCount, parse: Callable[[str], Row | None]
    ) -> Iterator[Row]:
        """A row for each line of a text that is not blank.

        Args:
            name: of the text.
            meter: counts what is read.
            parse: gives the row of a line, its `audio` by its name in INPUT; None for a line that
                is none. A ValueError says what a line should be, and the line is a row that fails.
        """
        self.imply(name)
        if fault := self.fault_of(name, True):
            yield fault_row(name, fault)
            return
        meter.characters += _FILE_CHARACTERS
        try:
            for number, line in lines_of(self._open(name), meter):
                row = self._row(line, parse)
                if isinstance(row, str):
                    message = f"line {number} of {quoted(name, _SHOWN)}: {row}"
                    yield fault_row(f"{name}:{number}", message)
                elif row is not None:
                    yield self.checked(row)
        except BadRow as error:
            yield fault_row(name, error.message)

    def _row(self, line: str | LongLine, parse: Callable[[str], Row | None]) -> Row | str | None:
        if isinstance(line, LongLine):
            return long_line_message(line)
        if not is_unicode(line):
            return "text that is not valid UTF-8; save it as UTF-8"
        try:
            return parse(line)
        except ValueError as fault:
            return str(fault)

    def checked(self, row: Row) -> Row:
        """A row; one that fails where its sound is not to be read."""
        if "audio" in row and (fault := self.fault_of(row["audio"], False)):
            return fault_row(row["id"], fault)
        return row

    def text_blocks(self, name: str, meter: CharacterCount) -> Iterator[str]:
        """A text block by block.

        Raises:
            BadRow: it is damaged, or not to be read.
        """
        self.imply(name)
        if fault := self.fault_of(name, True):
            raise BadRow("bad_manifest_row", fault)
        return self._open(name).texts(meter)

    def contents(
        self, names: Sequence[str], meter: CharacterCount
    ) -> Iterator[tuple[str, str, str | None]]:
        """Name, text and fault of short texts in their order; several are read at once."""
        with ThreadPoolExecutor(_READERS) as pool:
            for first in range(0, len(names), _READ_TOGETHER):
                some = names[first : first + _READ_TOGETHER]
                for name, (text, fault) in zip(some, pool.map(self._content, some), strict=True):
                    self.imply(name)
                    meter.characters += _FILE_CHARACTERS + len(text)
                    yield name, text, fault

    def _content(self, name: str) -> tuple[str, str | None]:
        if fault := self.fault_of(name, True):
            return "", fault
        try:
            parts, length = [], 0
            for block in self._open(name).texts():
                parts.append(block)
                length += len(block)
                if length > _LONGEST_TEXT:
                    return "", f"{quoted(name, _SHOWN)} is no short text of one utterance"
        except BadRow as error:
            return "", error.message
        text = "".join(parts).removeprefix("\ufeff").strip()
        if not is_unicode(text):
            return "", f"{quoted(name, _SHOWN)}: text that is not valid UTF-8; save it as UTF-8"
        return text, None

    def _at(self, name: str) -> int | None:
        at = bisect_left(self._names, name)
        return at if at < len(self._names) and self._names[at] == name else None

    def _sound_at(self, stem: str) -> int | None:
        start = stem + "."
        at = bisect_left(self._names, start)
        while at < len(self._names) and self._names[at].startswith(start):
            if self._names[at][len(stem) :].lower() in AUDIO_SUFFIXES:
                return at
            at += 1
        return None
