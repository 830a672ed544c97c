"""Kaldi data folders: `wav.scp` with `segments`, `text` and `utt2spk` where they are.

Nothing in them is ever run: an entry that is a shell pipe becomes a row that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

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

MARK = "wav.scp"
FILES = (MARK, "segments", "text", "utt2spk")
IMPLIED = ("spk2utt",)  # says what utt2spk says
_ARCHIVE = re.compile(r"\.ark:\d+(\[.*\])?$")


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
    texts = dict(_pairs(files.get("text")))
    speakers = dict(_pairs(files.get("utt2spk")))
    recordings = dict(_pairs(files[MARK])) if "segments" in files else {}
    used: set[str] = set()

    def numbered(meter: CharacterCount) -> NumberedRows:
        rows: Iterator[Row | str] = (
            _segments(files["segments"], recordings, meter, used)
            if "segments" in files
            else _recordings(files[MARK], meter)
        )
        return enumerate((_with_facts(row, texts, speakers) for row in rows), 1)

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
    name, _, rest = line.strip().partition(" ")
    return name, rest.strip()


def _recordings(file: TextFile, meter: CharacterCount) -> Iterator[Row | str]:
    for _, line in lines_of(file, meter):
        yield long_line_message(line) if isinstance(line, LongLine) else _row(*_pair(line))


def _row(name: str, rest: str) -> Row:
    """A row for what an entry of ``wav.scp`` names."""
    if rest.startswith("|") or rest.endswith("|"):
        return fault_row(name, "a shell pipe, which is never run here; write the audio to a file")
    if _ARCHIVE.search(rest):
        return fault_row(name, "audio in a Kaldi archive; copy it to audio files with wav-copy")
    if not rest:
        return fault_row(name, "an entry without a path; each line is a name and a path")
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


def _with_facts(row: Row | str, texts: Mapping[str, str], speakers: Mapping[str, str]) -> Row | str:
    if isinstance(row, str):
        return row
    facts = {"text": texts.get(row["id"]), "speaker": speakers.get(row["id"])}
    return {**row, **{name: value for name, value in facts.items() if value is not None}}
