"""Formats of shards that hold rows and audio together: WebDataset tars, Hugging Face Parquet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.batch.error_rows import json_value
from actors.batch.names import AUDIO_PATH, REASON_CODES, RECON_CODES
from actors.batch.table import codes_column
from actors.stages.part_file import parquet_bytes
from actors.storage.object_store import Storage
from pipelines.export.card import dataset_card
from pipelines.export.fields import checked_suffix
from pipelines.export.row import ExportRow

if TYPE_CHECKING:
    from torch import Tensor

MAX_SHARD_ROWS = 1000
MAX_SHARD_BYTES = 100 << 20


class Shards:
    """Collect rows until a shard is full, by number or by bytes."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._rows: list[tuple[ExportRow, bytes | None, str]] = []
        self._bytes = 0
        self._number = 0

    def prepare(self, row: ExportRow) -> tuple[bytes | None, str]:
        """Contents and ending of the row's audio, None where it stays where it is."""
        sound = row.sound() if row.sounds.generated or row.sounds.copy else None
        return (sound.data, checked_suffix(sound)) if sound else (None, "")

    def add(self, row: ExportRow, prepared: tuple[bytes | None, str]) -> None:
        """Take the row into the open shard, and store the shard if it is full."""
        self._rows.append((row, *prepared))
        self._bytes += len(prepared[0] or b"") + 16 * (row.codes.recon.numel() // 8 + 64)
        if len(self._rows) >= MAX_SHARD_ROWS or self._bytes >= MAX_SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._rows:
            self.store(self._number, self._rows)
        self._rows, self._bytes, self._number = [], 0, self._number + 1

    def store(self, number: int, rows: list[tuple[ExportRow, bytes | None, str]]) -> None:
        """Write one shard."""
        raise NotImplementedError

    def finish(self) -> None:
        """Store the last shard."""
        self._end_shard()


class WebDatasetExporter(Shards):
    """Tars of samples: ``json``, ``txt``, ``flac``, ``reason_codes.npy``, ``recon_codes.npy``."""

    def store(self, number: int, rows: list[tuple[ExportRow, bytes | None, str]]) -> None:
        """Write one tar."""
        import webdataset

        sink = io.BytesIO()
        with webdataset.TarWriter(sink, mtime=0) as writer:
            for row, data, suffix in rows:
                sample: dict[str, Any] = {"__key__": row.stem, "json": json_value(row.facts)}
                if row.text is not None:
                    sample["txt"] = row.text
                if data is not None:
                    sample[suffix] = data
                if len(row.codes.recon):
                    sample["reason_codes.npy"] = uint16(row.codes.reason)
                    sample["recon_codes.npy"] = uint16(row.codes.recon)
                writer.write(sample)
        self.storage.put(f"shard-{number:06d}.tar", sink.getvalue())


def uint16(codes: Tensor) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Codes ``[T, 8]`` as other toolkits get them."""
    return codes.numpy().astype(np.uint16)


class HuggingFaceExporter(Shards):
    """Parquet shards with the Audio feature, and a card.

    Args:
        storage: the export.
        run: ``run.json`` of the run, for the card.
        schema: columns of the run's results; every shard has them.
        with_audio: rows bring audio of their own.
    """

    def __init__(
        self, storage: Storage, run: dict[str, Any], schema: pa.Schema, with_audio: bool
    ) -> None:
        super().__init__(storage)
        self.run = run
        self.schema = schema
        self.with_audio = with_audio
        self.rows_written = 0

    def store(self, number: int, rows: list[tuple[ExportRow, bytes | None, str]]) -> None:
        """Write one Parquet file."""
        from datasets import Audio, Features
        from datasets.table import table_cast

        columns: dict[str, pa.Array] = {}
        if self.with_audio:
            # None where a row has no audio: a name without contents would be looked for on disk
            columns["audio"] = pa.array(
                [
                    data and {"bytes": data, "path": f"{row.stem}.{suffix}"}
                    for row, data, suffix in rows
                ],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            )
        for field in self.schema:
            if self.with_audio and field.name == AUDIO_PATH:
                continue
            name = f"input_{field.name}" if field.name in columns else field.name
            columns[name] = self._column(field, [row for row, _, _ in rows])
        table = pa.table(columns)
        features = Features.from_arrow_schema(table.schema)
        if self.with_audio:
            features["audio"] = Audio()
        # the schema's metadata is what tells readers that a struct is audio
        table = table_cast(table, features.arrow_schema)
        self.storage.put(f"data/part-{number:05d}.parquet", parquet_bytes(table))
        self.rows_written += len(rows)

    def _column(self, field: pa.Field, rows: list[ExportRow]) -> pa.Array:
        streams = {REASON_CODES: "reason", RECON_CODES: "recon"}
        if field.name in streams:
            stream = streams[field.name]
            codes = {index: getattr(row.codes, stream) for index, row in enumerate(rows)}
            return codes_column(codes, len(rows))
        # parts of earlier builds lack some
        return pa.array([row.facts.get(field.name) for row in rows], field.type)

    def finish(self) -> None:
        """Store the last shard and the card."""
        super().finish()
        card = dataset_card(self.run, self.schema, self.rows_written, self.with_audio)
        self.storage.put("README.md", card.encode())
