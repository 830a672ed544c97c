"""Rows of a run's results, as a table of the first ones or one of them in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from actors.batch.names import (
    AUDIO_PATH,
    CODE_COLUMNS,
    DURATION_S,
    FINISH_REASON,
    PASSAGES,
    SEGMENTS,
    SPANS,
    WORDS,
)
from actors.batch.table import read_codes
from actors.storage.object_store import Storage
from pipelines.progress.terminal import Terminal, cell
from pipelines.run_state.commit_log import open_output
from pipelines.run_state.parts import (
    errors_tables_of,
    part_bytes,
    plain_rows,
    tables_of,
)
from uniaudio2.scores.spec import PREFIX
from uniaudio2.shown import counted, shown
from uniaudio2.tokens.codes import Codes

FIRST = 10
_TEXT_CHARACTERS = 300
_PICTURE_COLUMNS = 90
_SHADES = " ░▒▓█"
_ID_CHARACTERS = 60
_SCORES_SHOWN = 4
_STRETCHES = (SPANS, PASSAGES)  # each with its times and its text


@dataclass(frozen=True)
class Row:
    """One committed row.

    Attributes:
        cells: its plain columns.
        codes: its tokens; empty where the run keeps none.
        error: the columns of the errors table, for a row that failed.
    """

    cells: dict[str, Any]
    codes: Codes
    error: dict[str, Any] | None = None

    @property
    def row_id(self) -> str:
        """Its id."""
        return str(self.cells.get("id", ""))

    @property
    def sounds(self) -> list[str]:
        """Paths of its generated sounds, below OUTPUT."""
        names = [name for name in self.cells if name.startswith(AUDIO_PATH)]
        return [self.cells[name] for name in names if isinstance(self.cells[name], str)]


def rows_of(output: str) -> Iterator[Row]:
    """Every committed row in the order of units, one part in memory at a time; failed ones last.

    Raises:
        UsageError: no run was ever started there.
        BadPart: a part is not as a run writes it.
    """
    commit_log, _ = open_output(output)
    for commit in commit_log.each_commit():
        for path in commit.data:
            for table in tables_of(part_bytes(commit_log.storage, path), path):
                yield from _of_table(table)
    for commit in commit_log.each_commit():
        for path in commit.error_parts:
            for table in errors_tables_of(part_bytes(commit_log.storage, path), path):
                for cells in table.to_pylist():
                    yield Row({"id": cells["id"]}, Codes.empty(), cells)


def _of_table(table: Any) -> Iterator[Row]:
    plain = [name for name in table.column_names if "_codes" not in name]
    has_codes = set(CODE_COLUMNS) <= set(table.column_names)
    for place, cells in enumerate(plain_rows(table.select(plain))):
        if cells is not None:
            yield Row(cells, _codes(table.slice(place, 1)) if has_codes else Codes.empty())


def _codes(single: Any) -> Codes:
    try:
        return read_codes(single, 0)
    except (ValueError, TypeError, AttributeError):
        return Codes.empty()  # columns of that name, but of other values


def what_came_out(row: Row, storage: Storage) -> str:
    """The result of a row in a line: its text, or the path and length of its sounds, or how many
    frames of codes it has."""
    if row.error is not None:
        return f"failed: {row.error['kind']}: {row.error['message']}"
    if row.sounds:
        seconds = row.cells.get(DURATION_S)
        length = f"  {seconds:.2f} s" if isinstance(seconds, int | float) else ""
        return ", ".join(storage.uri(path) for path in row.sounds) + length
    if (scores := _scores(row.cells)) and not isinstance(row.cells.get(FINISH_REASON), str):
        return scores
    if isinstance(row.cells.get(FINISH_REASON), str):
        return _cut(str(row.cells.get("text") or ""))
    return (
        f"{counted(len(row.codes.reason), 'reasoning frame')}, "
        f"{counted(len(row.codes.recon), 'reconstruction frame')}"
    )


def _scores(cells: Mapping[str, Any]) -> str:
    """The first scores of a row in a line."""
    numbers = {
        name.removeprefix(PREFIX): value
        for name, value in cells.items()
        if name.startswith(PREFIX) and isinstance(value, float)
    }
    told = ", ".join(
        f"{name} {value:.4g}" for name, value in islice(numbers.items(), _SCORES_SHOWN)
    )
    return told + ("…" if len(numbers) > _SCORES_SHOWN else "")


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS] + "…"


def show_first(output: str, most: int = FIRST, terminal: Terminal | None = None) -> int:
    """Print the first rows as a table whose lines are not broken, so that paths can be copied;
    returns how many there are."""
    terminal = terminal or Terminal()
    storage = Storage(output)
    rows = [(shown(row.row_id, _ID_CHARACTERS), row) for row in islice(rows_of(output), most)]
    width = max((len(row_id) for row_id, _ in rows), default=0)
    for row_id, row in rows:
        terminal.show(cell(f"{row_id:<{width}}  {what_came_out(row, storage)}"))
    return len(rows)


def find_row(output: str, row_id: str) -> Row | None:
    """The row of an id, results before failures; None where there is none."""
    return next((row for row in rows_of(output) if row.row_id == row_id), None)


def show_row(output: str, row: Row, terminal: Terminal | None = None) -> None:
    """Print one row in full: its columns, its spans or passages, its sounds' paths, its tokens as
    pictures."""
    terminal = terminal or Terminal()
    storage = Storage(output)
    told = {**row.cells, **(row.error or {})}
    width = max(len(name) for name in told)
    for name, value in told.items():
        if value is None or (name in _STRETCHES and isinstance(value, list)):
            continue
        if name in (SEGMENTS, WORDS) and _has_times(value):
            continue
        value = storage.uri(value) if name.startswith(AUDIO_PATH) else value
        terminal.show(cell(f"{name:<{width}}  {value}"))
    has_segments = _has_times(row.cells.get(SEGMENTS))  # of spans, as long as subtitles
    for listed in map(row.cells.get, (SEGMENTS, PASSAGES) if has_segments else _STRETCHES):
        for stretch in listed if isinstance(listed, list) else ():
            terminal.show(cell(_stretch(stretch)))
    for name, stream in (("reasoning", row.codes.reason), ("reconstruction", row.codes.recon)):
        if len(stream):
            terminal.show(
                cell(f"{name}: {counted(len(stream), 'frame')} of {stream.shape[1]} codes")
            )
            for line in picture(stream.T.tolist()):
                terminal.show(cell(f"  {line}"))


def _has_times(value: Any) -> bool:
    """Tell whether a value is one of ours; a manifest may have columns of these names."""
    return isinstance(value, list) and all(
        isinstance(one, dict) and "start_s" in one for one in value
    )


def _stretch(span: Any) -> str:
    try:
        return f"  {span['start_s']:>8.2f} to {span['end_s']:.2f} s  {span['text']}"
    except (KeyError, TypeError, ValueError):  # of a column of that name, but of other values
        return f"  {span}"


def picture(codebooks: Sequence[Sequence[int]]) -> list[str]:
    """Token ids as lines of shades, one a codebook, the first frames of them.

    Args:
        codebooks: ids ``[codebooks][T]``.
    """
    most = max((max(ids) for ids in codebooks if ids), default=0) + 1
    return [
        "".join(_SHADES[1 + token * (len(_SHADES) - 1) // most] for token in ids[:_PICTURE_COLUMNS])
        + ("…" if len(ids) > _PICTURE_COLUMNS else "")
        for ids in codebooks
    ]
