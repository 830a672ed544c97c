"""Find how a table of text is written: its delimiter, header, quotes and encoding.

What is usual for a file's suffix holds unless the file says something else; what cannot be told
is asked for rather than guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pipelines.manifest.tables.aliases import ALIASES
from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.text_lines import TextFile

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# where quotes are text more often than not, a file must use them consistently
RARELY_QUOTED = ("\t", "|")
_MOSTLY = 0.9
_RARELY = 0.5
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SENTENCE_WORDS = 6
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
_COLUMNS = {
    "id", "audio", "text", "caption", "lyric", "question", "instruction", "start_s", "end_s",
    "duration", "offset", "speaker", "language", "recon_codes", "reason_codes", "recon_path",
    "reason_path", *(name for names in ALIASES.values() for name in names),
}  # fmt: skip
_UNQUOTED_HEADER = {"client_id", "path", "sentence"}  # Common Voice writes no quotes
_UNDEFINED = "\udc81\udc8d\udc8f\udc90\udc9d"  # bytes that cp1252 has no letter for
_RUNS = re.compile(r"[\udc80-\udcff]+")
_OTHERS = re.compile(r"[^\x00-\x7f\udc80-\udcff]")
_LONG_RUN = 4
_FAR_MORE = 10
Script = Literal["western", "other", "utf-8"]


def separator_of(line: str) -> str | None:
    """The delimiter that a first line ``sep=;`` names, as Excel reads and writes it."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[1] if found else None


def delimiter_of(lines: Sequence[str], usual: str) -> str:
    """The delimiter of a table by its first lines, the header among them.

    Args:
        lines: of the file.
        usual: of the file's suffix; another one takes its place where the header does not have
            it, or where few lines have as many cells by it as the header, and nearly all by the
            other.
    """
    header = lines[0] if lines else ""
    present = [one for one in DELIMITERS if one in header]
    if not present:
        return usual
    alike = {one: _alike(lines, one) for one in present} if len(present) > 1 else {}
    best = max(present, key=lambda one: (alike.get(one, 1.0), one == usual))
    if usual in present and not (alike.get(usual, 1.0) <= _RARELY and alike[best] >= _MOSTLY):
        return usual
    return best


def _alike(lines: Sequence[str], delimiter: str) -> float:
    """The share of lines with as many cells as the first."""
    try:
        if delimiter in RARELY_QUOTED:
            widths = [len(line.split(delimiter)) for line in lines]
        else:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error:
        return 0.0
    return widths.count(widths[0]) / len(widths)


def is_header(cells: Iterable[str]) -> bool:
    """Tell names of columns from the cells of a row.

    One name that a task knows suffices; else no cell may be a number, a sound's file or a
    sentence.
    """
    cells = [cell.strip() for cell in cells]
    return any(cell.lower() in _COLUMNS for cell in cells) or not any(
        _NUMBER.fullmatch(cell) or is_audio_name(cell) or len(cell.split()) >= _SENTENCE_WORDS
        for cell in cells
    )


def is_never_quoted(names: Iterable[str], delimiter: str) -> bool:
    """Tell a table whose quotes are text by the columns that its tool writes."""
    return delimiter == "\t" and set(names) >= _UNQUOTED_HEADER


def script_of(file: TextFile) -> Script:
    """What a file is that is not UTF-8 throughout.

    Returns:
        ``"western"``, cp1252 as a whole, where next to no letters are UTF-8, every byte has a
        letter in cp1252, and these stand alone or in twos and threes, as umlauts and accents do;
        ``"other"`` where they follow each other, as letters of other scripts do; ``"utf-8"``, with
        damage, where most letters are UTF-8.
    """
    wrong = right = in_long_runs = undefined = 0
    for text in file.texts():
        if text.isascii():
            continue
        for run in _RUNS.findall(text):
            wrong += len(run)
            undefined += sum(map(run.count, _UNDEFINED))
            in_long_runs += len(run) if len(run) >= _LONG_RUN else 0
        right += len(_OTHERS.findall(text))
    if wrong <= right:
        return "utf-8"
    is_western = wrong > _FAR_MORE * right and not undefined and in_long_runs * 4 <= wrong
    return "western" if is_western else "other"
