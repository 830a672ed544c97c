"""A Kaldi data folder: `wav.scp`, `segments`, `text`, `utt2spk`, `spk2utt`, `utt2dur`, sorted.

Kaldi itself reads WAV alone, so audio that is copied becomes 16-bit WAV.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace

import soundfile

from actors.stages.write import file_stem
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.export.fields import checked_address
from pipelines.export.lines import store_sound
from pipelines.export.row import ExportRow, Sound
from pipelines.export.spool import SortedSpool
from pipelines.export.timed.one_line import is_control, one_line
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

_FILES = ("wav.scp", "segments", "text", "utt2spk", "spk2utt", "utt2dur")
_INSIDE = re.compile(r"\.ark:|:\d+$|\]$")  # of an archive, or of a matrix
Entry = tuple[Sound, str]


def to_wav(data: bytes) -> bytes:
    """A file of audio as 16-bit WAV; what was 16-bit stays equal sample by sample."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _kaldi_name(uri: str) -> str:
    """A name of audio that Kaldi takes for a file, and for a whole one.

    Raises:
        BadRow: it takes it for something else.
    """
    if _INSIDE.search(checked_address(uri)):
        raise BadRow(
            "unsafe_name",
            f"audio {quoted(uri)} is a place in an archive to Kaldi; rename it, or let "
            "--copy-audio take its audio along",
        )
    return checked_address(uri)


class KaldiExporter:
    """Write a data folder; utterances are named by the stems of their ids, which hold no space.

    Args:
        storage: the export.

    Raises:
        UsageError: its name cannot stand in a line.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        if any(map(is_control, storage.root)):
            raise UsageError(
                f"DST {storage.root} holds a character that ends a line of Kaldi's files; "
                "choose another"
            )
        self._spools = {name: SortedSpool(storage, name) for name in _FILES}

    def prepare(self, row: ExportRow) -> Entry:
        """Store the row's audio if it is copied; returns it and its address."""
        sound = row.need_sound()
        if sound.data is not None:
            sound = replace(sound, data=to_wav(sound.data), suffix="wav")
        path = store_sound(row, sound, self.storage)
        return sound, self.storage.uri(path) if path else _kaldi_name(sound.uri)

    def add(self, row: ExportRow, prepared: Entry) -> None:
        """Write the row's lines."""
        sound, uri = prepared
        name, recording = row.stem, row.stem if sound.data is not None else file_stem(uri)
        end_s = sound.start_s + sound.duration_s
        lines = {
            "wav.scp": f"{recording} {uri}",
            "segments": f"{name} {recording} {sound.start_s:.6f} {end_s:.6f}",
            "utt2spk": f"{name} {name}",
            "spk2utt": f"{name} {name}",
            "utt2dur": f"{name} {sound.duration_s:.6f}",
        }
        if row.text is not None:
            lines["text"] = f"{name} {one_line(row.text)}"
        for file, line in lines.items():
            self._spools[file].write(line)

    def finish(self) -> None:
        """Store the files."""
        for spool in self._spools.values():
            spool.close()
