"""Lhotse Shar: shards of cuts, and beside each the tars of what the cuts hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.batch.names import REASON_CODES, RECON_CODES
from actors.storage.object_store import Storage
from pipelines.export.fields import checked_suffix, flat_facts
from pipelines.export.lines import lhotse_alignment
from pipelines.export.row import ExportRow
from pipelines.export.shards import Shards, uint16

FOLDER = "shards"
_CODES = {REASON_CODES: "reason", RECON_CODES: "recon"}


class SharExporter(Shards):
    """``cuts.000000.jsonl.gz``, ``recording.000000.tar`` and, where there are codes, theirs.

    They are in a folder of their own, for lhotse takes every file beside them for a field.

    Args:
        storage: the export.
        schema: columns of the run's results; every shard has the same fields.
    """

    def __init__(self, storage: Storage, schema: pa.Schema) -> None:
        super().__init__(storage)
        self.fields = {"recording": "flac"}
        self.fields |= {name: "numpy" for name in _CODES if name in schema.names}

    def prepare(self, row: ExportRow) -> tuple[bytes | None, str]:
        """Contents and ending of the row's audio, which a shard always holds."""
        sound = row.need_sound()
        return sound.data, checked_suffix(sound)

    def store(self, number: int, rows: list[tuple[ExportRow, bytes | None, str]]) -> None:
        """Write one shard: lhotse makes its files on the local disk."""
        from lhotse.shar import SharWriter

        with tempfile.TemporaryDirectory() as folder:
            with SharWriter(
                folder, self.fields, shard_size=len(rows), shard_offset=number
            ) as writer:
                for row, data, _ in rows:
                    writer.write(_cut(row, data or b""))
            for file in sorted(Path(folder).iterdir()):
                self.storage.put_file(f"{FOLDER}/{file.name}", file)


def _cut(row: ExportRow, data: bytes) -> Any:
    """A cut of a whole file, with its text as supervision and its other columns as custom data."""
    from lhotse import Recording, SupervisionSegment

    cut = Recording.from_bytes(data, recording_id=row.stem).to_cut()
    cut.id = row.stem
    if row.text is not None:
        cut.supervisions = [
            SupervisionSegment(
                row.stem, row.stem, 0.0, cut.duration, text=row.text,
                alignment=lhotse_alignment(row),
            )
        ]  # fmt: skip
    cut.custom = flat_facts(row.facts)
    for name, stream in _CODES.items():
        if len(codes := getattr(row.codes, stream)):
            # no frame shift: a cut's length in codes must not be rounded to that of its audio
            cut = cut.attach_tensor(name, uint16(codes))  # [T, 8]
    return cut
