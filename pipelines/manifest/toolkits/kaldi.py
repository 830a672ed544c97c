"""Kaldi data folders: `wav.scp` with `segments`, `text` and `utt2spk` where they are.

ESPnet's dumps are such folders, and so are FunASR's pairs of ``train_wav.scp`` and
``train_text.txt``, whose files share a prefix.

Nothing in them is ever run: an entry that is a shell pipe becomes a row that fails.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa

from actors.batch.audio_values import list_text
from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.row_tables import NumberedRows, Row, fault_row, table_of_rows
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import (
    CharacterCount,
    LongLine,
    TextFile,
    lines_of,
    long_line_message,
    text_file,
)
from pipelines.manifest.toolkits.json_rows import archive_fault

MARK = "wav.scp"
_TEXTS = ("text", "text.txt")  # the first that is there
FILES = (MARK, "segments", *_TEXTS, "utt2spk", "utt2lang")
IMPLIED = ("spk2utt",)  # says what utt2spk says
_FACTS = {"utt2spk": "speaker", "utt2lang": "language"}
_BLANKS = re.compile(r"[ \t]+")


def prefix_of(name: str) -> str | None:
    """What stands before ``wav.scp`` in the name of such a file: nothing or ``train_``; None for
    any other file."""
    prefix = posixpath.basename(name).removesuffix(MARK)
    is_one = name.endswith(MARK) and (not prefix or prefix.endswith("_"))
    return prefix if is_one else None


def data_folders(names: Iterable[str]) -> list[str]:
    """The ``wav.scp`` files of a folder that tell its rows, sorted.

    One right in the folder speaks for all that lies in it: those below a data folder are parts of
    it, as ``split8/1/wav.scp`` is.

    Args:
        names: of all files in the folder.
    """
    scps = sorted(name for name in names if prefix_of(name) is not None)
    above = {posixpath.dirname(name) for name in scps}
    return [name for name in scps if not above.intersection(_folders_above(name))]


def _folders_above(name: str) -> Iterator[str]:
    """Folders that the folder of a file lies in."""
    folder = posixpath.dirname(name)
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def read_kaldi(
    read: Callable[[str], TextFile | bytes | None], scan: Scan | None = None
) -> pa.Table:
    """The utterances of a data folder: one row a segment, or one a recording without `segments`.

    Args:
        read: one of `FILES`, None where it is not there.
        scan: how many rows suffice.

    Raises:
        ValueError: there is no ``wav.scp``.
    """
    found = {name: read(name) for name in FILES}
    files = {name: text_file(data) for name, data in found.items() if data is not None}
    if MARK not in files:
        raise ValueError("no wav.scp; a Kaldi data folder has one")
    scan = scan or Scan()
    text, *others = [name for name in _TEXTS if name in files] or [""]
    scan.noticed.leave_out("files", others, f"{text} is read beside them")
    told = {"text": dict(_pairs(files.get(text)))}
    told |= {column: dict(_pairs(files.get(name))) for name, column in _FACTS.items()}
    recordings = dict(_pairs(files[MARK])) if "segments" in files else {}
    used: set[str] = set()

    def numbered(meter: CharacterCount) -> NumberedRows:
        rows: Iterator[Row | str] = (
            _segments(files["segments"], recordings, meter, used)
            if "segments" in files
            else _recordings(files[MARK], meter)
        )
        return enumerate((_with_facts(row, told) for row in rows), 1)

    table = table_of_rows(numbered, scan)
    if scan.rows is None:  # else segments need not have been read to their end
        unused = ["recordings"] * (len(recordings) - len(used))
        scan.noticed.leave_out("entries of wav.scp", unused, "no line of segments names them")
    return table


def _pairs(file: TextFile | None) -> Iterator[tuple[str, str]]:
    """First word and rest of every line that is not too long."""
    for _, line in lines_of(file) if file else ():
        if isinstance(line, str):
            yield _pair(line)


def _pair(line: str) -> tuple[str, str]:
    name, *rest = _BLANKS.split(line.strip(), maxsplit=1)
    return name, rest[0] if rest else ""


def _recordings(file: TextFile, meter: CharacterCount) -> Iterator[Row | str]:
    for _, line in lines_of(file, meter):
        yield long_line_message(line) if isinstance(line, LongLine) else _row(*_pair(line))


def _row(name: str, rest: str) -> Row:
    """A row for what an entry of ``wav.scp`` names."""
    if rest.startswith("|") or rest.endswith("|"):
        return fault_row(name, "a shell pipe, which is never run here; write the audio to a file")
    if fault := archive_fault(rest):
        return fault_row(name, fault)
    if not rest:
        return fault_row(name, "an entry without a path; each line is a name and a path")
    files = rest.split()
    if len(files) > 1 and all(map(is_audio_name, files)):  # the channels of one recording
        rest = list_text(files)
    return {"id": name, "audio": rest}


def _segments(
    file: TextFile, recordings: Mapping[str, str], meter: CharacterCount, used: set[str]
) -> Iterator[Row | str]:
    """A row for each line of ``segments``; `used` takes the recordings that they name."""
    for number, line in lines_of(file, meter):
        if isinstance(line, LongLine):
            yield long_line_message(line)
            continue
        try:
            name, recording, start, end, *channel = line.split()
            start_s, end_s = float(start), float(end)
            chosen = {"audio_channel": int(channel[0])} if channel else {}
        except ValueError:
            yield f"line {number} of segments is not: utterance, recording, start, end, [channel]"
            continue
        if recording not in recordings:
            yield fault_row(
                name, f"line {number} of segments names a recording that wav.scp does not; add it"
            )
            continue
        used.add(recording)
        row = _row(name, recordings[recording])
        if "audio" in row:
            row |= {"recording": recording, "start_s": start_s}
            row["end_s"] = None if end_s < 0 else end_s  # -1 is Kaldi's end of the file
            row |= chosen
        yield row


def _with_facts(row: Row | str, told: Mapping[str, Mapping[str, str]]) -> Row | str:
    """A row with what other files tell of its id, by column."""
    if isinstance(row, str):
        return row
    facts = {column: values.get(row["id"]) for column, values in told.items()}
    return {**row, **{name: value for name, value in facts.items() if value is not None}}
