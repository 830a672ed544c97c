"""Formats that are one line a row beside files: JSONL, NeMo, Lhotse cuts, `.pt` pairs, times."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from actors.batch.error_rows import json_value
from actors.batch.names import AUDIO_PATH, REASON_CODES, RECON_CODES
from actors.storage.object_store import Storage
from pipelines.export.fields import (
    LHOTSE_KEYS,
    checked_address,
    checked_suffix,
    flat_facts,
    json_text,
)
from pipelines.export.results import ExportResult
from pipelines.export.row import ExportRow, Sound
from pipelines.export.spool import Spool
from pipelines.export.timed.cues import words_of
from pipelines.export.timed.files import ENDINGS, TimedFormat, timed_text
from uniaudio2.errors import BadRow
from uniaudio2.lazily import torch

MakeLine = Callable[[ExportRow, Storage], dict[str, Any]]


def store_sound(row: ExportRow, sound: Sound, storage: Storage) -> str | None:
    """Put audio that belongs into the export there; returns its path, None if it stays."""
    if sound.data is None:
        return None
    path = f"audio/{row.stem}.{checked_suffix(sound)}"
    storage.put(path, sound.data)
    return path


def jsonl_line(row: ExportRow, storage: Storage) -> dict[str, Any]:
    """Every column; codes as ``[T][8]`` lists, `audio_path` relative to the file.

    Columns named like what Lhotse takes for objects of its own get `input_` in front.
    """
    facts = {name: json_value(value) for name, value in row.facts.items()}
    line = {f"input_{name}" if name in LHOTSE_KEYS else name: facts[name] for name in facts}
    for name, codes in ((REASON_CODES, row.codes.reason), (RECON_CODES, row.codes.recon)):
        if len(row.codes.recon):
            line[name] = codes.tolist()
    if row.sounds.generated or row.sounds.copy:
        sound = row.need_sound()
        line[AUDIO_PATH] = store_sound(row, sound, storage)
    return line


def nemo_line(row: ExportRow, storage: Storage) -> dict[str, Any]:
    """A NeMo manifest's line: `audio_filepath`, `duration`, `offset` of a span, `text`."""
    sound = row.need_sound()
    path = store_sound(row, sound, storage)
    line = {
        "audio_filepath": path or checked_address(sound.uri),
        "duration": sound.duration_s,
        "text": row.text or "",
        "id": row.id,
    }
    return line if path else {**line, "offset": sound.start_s}


def lhotse_alignment(row: ExportRow) -> dict[str, Any] | None:
    """The words of a row with their times, as a supervision has them; None without times.

    Raises:
        BadRow: what the row has in their place are no times.
    """
    from lhotse.supervision import AlignmentItem

    words = words_of(row.facts)
    if words is None:
        return None
    return {
        "word": [
            AlignmentItem(
                word.text, word.start_ms / 1000, (word.end_ms - word.start_ms) / 1000,
                word.confidence,
            )
            for word in words
        ]
    }  # fmt: skip


def lhotse_line(row: ExportRow, storage: Storage) -> dict[str, Any]:
    """A MonoCut with its recording and, where there is a text, one supervision."""
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

    sound = row.need_sound()
    path = store_sound(row, sound, storage)
    header = sound.header()
    uri = storage.uri(path) if path else checked_address(sound.uri)
    recording = Recording(
        id=row.stem if path else uri,
        sources=[AudioSource("url" if "://" in uri else "file", [0], uri)],
        sampling_rate=header.samplerate,
        num_samples=header.frames,
        duration=header.frames / header.samplerate,
    )
    duration_s = min(sound.duration_s, recording.duration - sound.start_s)
    spoken = (
        []
        if row.text is None
        else [
            SupervisionSegment(
                row.stem, recording.id, 0.0, duration_s, text=row.text,
                alignment=lhotse_alignment(row),
            )
        ]
    )  # fmt: skip
    cut = MonoCut(
        id=row.stem, start=sound.start_s, duration=duration_s, channel=0, supervisions=spoken,
        recording=recording, custom=flat_facts(row.facts),
    )  # fmt: skip
    return dict(cut.to_dict())


def pt_line(row: ExportRow, storage: Storage) -> dict[str, Any]:
    """The published pair ``*_reason.pt``, ``*_semantic.pt``: ``(8, T)`` int64 tensors."""
    if not len(row.codes.recon):
        raise BadRow("missing_value", "the row has no codes")
    line = {"id": row.id}
    for column, name, codes in (
        ("reason_path", "reason", row.codes.reason),
        ("recon_path", "semantic", row.codes.recon),
    ):
        buffer = io.BytesIO()
        torch.save(codes.T.contiguous(), buffer)  # [8, T]
        line[column] = f"{row.stem}_{name}.pt"
        storage.put(line[column], buffer.getvalue())
    return line | ({} if row.text is None else {"text": row.text})


class LineExporter:
    """Write a line a row.

    Args:
        storage: the export.
        path: name of the file of lines.
        make: writes the row's files and gives its line.
    """

    def __init__(self, storage: Storage, path: str, make: MakeLine) -> None:
        self.storage = storage
        self._spool = Spool(storage, path)
        self._make = make

    def prepare(self, row: ExportRow) -> dict[str, Any]:
        """Store the row's files; may run in many threads."""
        return self._make(row, self.storage)

    def add(self, _row: ExportRow, prepared: dict[str, Any]) -> None:
        """Write the row's line."""
        self._spool.write(json_text(prepared))

    def finish(self) -> None:
        """Store the file of lines."""
        self._spool.close()


class TimedExporter:
    """Write what is said when: a file a row, or for CTM one of all rows, and a line a row that
    names it.

    Args:
        storage: the export.
        kind: the format.
        result: is told of rows whose texts some reader changes.
    """

    def __init__(self, storage: Storage, kind: TimedFormat, result: ExportResult) -> None:
        self.storage = storage
        self.kind = kind
        self._result = result
        self._lines = Spool(storage, "manifest.jsonl")
        self._words = Spool(storage, "words.ctm") if kind == "ctm" else None

    def prepare(self, row: ExportRow) -> tuple[str, bool]:
        """Make the row's file, and store it; may run in many threads."""
        text, is_kept = timed_text(self.kind, row.facts, row.stem)
        if self._words is None:
            self.storage.put(self._path(row), text.encode())
        return text, is_kept

    def _path(self, row: ExportRow) -> str:
        return f"{row.stem}.{ENDINGS[self.kind]}"

    def add(self, row: ExportRow, prepared: tuple[str, bool]) -> None:
        """Write the row's lines."""
        text, is_kept = prepared
        if not is_kept:
            self._result.alter(row)
        if self._words is None:
            self._lines.write(json_text({"id": row.id, self.kind: self._path(row)}))
            return
        self._lines.write(json_text({"id": row.id, "recording": row.stem}))
        for line in text.splitlines():
            self._words.write(line)

    def finish(self) -> None:
        """Store the files that hold all rows."""
        self._lines.close()
        if self._words:
            self._words.close()
