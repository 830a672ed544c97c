"""Kaldi data folders: `wav.scp` with `segments`, `text` and `utt2spk` where they are.

Nothing in them is ever run: an entry that is a shell pipe becomes a row that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from pipelines.rows import Row, fault_row, lines_of, table_of_rows

MARK = "wav.scp"
FILES = (MARK, "segments", "text", "utt2spk")
_ARCHIVE = re.compile(r"\.ark:\d+(\[.*\])?$")


def read_kaldi(read: Callable[[str], bytes | None]) -> pa.Table:
    """The utterances of a data folder: one row a segment, or one a recording without `segments`.

    Args:
        read: contents of one of `FILES`, None where it is not there.

    Raises:
        ValueError: there is no ``wav.scp``.
    """
    contents = {name: read(name) for name in FILES}
    if contents[MARK] is None:
        raise ValueError("no wav.scp; a Kaldi data folder has one")
    recordings = dict(_pairs(contents[MARK]))
    texts = dict(_pairs(contents["text"]))
    speakers = dict(_pairs(contents["utt2spk"]))
    segments = contents["segments"]
    rows = (
        _segments(segments, recordings)
        if segments is not None
        else (_row(*pair) for pair in _pairs(contents[MARK]))
    )
    numbered = enumerate((_with_facts(row, texts, speakers) for row in rows), 1)
    return table_of_rows(numbered)


def _pairs(data: bytes | None) -> Iterator[tuple[str, str]]:
    """First word and rest of every line."""
    for _, line in lines_of(data or b""):
        name, _, rest = line.strip().partition(" ")
        yield name, rest.strip()


def _row(name: str, rest: str) -> Row:
    """A row for what an entry of ``wav.scp`` names."""
    if rest.startswith("|") or rest.endswith("|"):
        return fault_row(
            name,
            f"{rest[:80]!r} is a shell pipe, which is never run here; write the audio to a file",
        )
    if _ARCHIVE.search(rest):
        return fault_row(
            name, f"{rest[:80]!r} lies in a Kaldi archive; copy it to audio files with wav-copy"
        )
    if not rest:
        return fault_row(name, "an entry without a path; each line is a name and a path")
    return {"id": name, "audio": rest}


def _segments(data: bytes, recordings: Mapping[str, str]) -> Iterator[Row | str]:
    for number, line in lines_of(data):
        try:
            name, recording, start, end = line.split()[:4]
            start_s, end_s = float(start), float(end)
        except ValueError:
            yield f"{line[:80]!r} of segments is not: utterance, recording, start, end"
            continue
        if recording not in recordings:
            yield fault_row(
                name, f"line {number} of segments: {recording[:80]!r} is not in wav.scp; add it"
            )
            continue
        row = _row(name, recordings[recording])
        if "audio" in row:
            row |= {"recording": recording, "start_s": start_s}
            row["end_s"] = None if end_s < 0 else end_s  # -1 is Kaldi's end of the file
        yield row


def _with_facts(row: Row | str, texts: Mapping[str, str], speakers: Mapping[str, str]) -> Row | str:
    if isinstance(row, str):
        return row
    facts = {"text": texts.get(row["id"]), "speaker": speakers.get(row["id"])}
    return {**row, **{name: value for name, value in facts.items() if value is not None}}
