"""Rows to look at and listen to: what went in beside what came out."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.batch.channel_rows import whole_id
from actors.batch.names import (
    AUDIO_COLUMNS,
    AUDIO_PATH,
    CHANNEL_COLUMNS,
    FINISH_REASON,
    RATE_COLUMNS,
    REASON_CODES,
    RECON_CODES,
    SPAN_COLUMNS,
    VERIFY_REASON,
)
from actors.batch.receipt import file_mark
from actors.batch.sample_arrays import cell_value
from actors.batch.table import read_codes
from actors.batch.unit import row_ids
from actors.columnar.file_rows import read_parquet_rows
from actors.inputs.audio import load_wave
from actors.storage.addresses import AddressPolicy, tar_of
from actors.storage.audio_files import read_sound
from actors.storage.fetch import Limits
from actors.storage.object_store import Storage
from pipelines.report.pictures import data_uri, spectrogram_image, tokens_image, waveform_path
from pipelines.report.rows import Pick, RowFacts, truncate, word_errors
from pipelines.run_state.parts import part_bytes, plain_rows, table_around, units_merged
from uniaudio2.audio.files import decode_audio, encode_audio
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.errors import BadRow
from uniaudio2.shown import shown
from uniaudio2.tokens.codes import Codes

if TYPE_CHECKING:
    from torch import Tensor

SHOWN_S = 10.0
MOST_MEDIA_BYTES = 5_000_000
_MOST_INPUT_BYTES = 64 << 20
_MOST_INPUT_S = 600.0
_MOST_WAIT_S = 30.0
_MOST_BASES = 4
_TEXT_CHARACTERS = 600
_SOUND_COLUMNS = (*AUDIO_COLUMNS, *RATE_COLUMNS, *SPAN_COLUMNS)
_INPUT_TEXTS = ("input_text", "caption", "question", "lyric", "instruction")
_SHOWN = {
    "id", "text", VERIFY_REASON, FINISH_REASON, REASON_CODES, RECON_CODES,
    *_SOUND_COLUMNS, *_INPUT_TEXTS,
}  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """A sound as it is shown.

    Attributes:
        duration_s: of the whole sound; None when it could not be read.
        wave: path of its envelope.
        spectrogram: address of a picture.
        player: address of the sound itself, "" when the page has no room for it.
        note: what a reader should know.
    """

    duration_s: float | None = None
    wave: str = ""
    spectrogram: str = ""
    player: str = ""
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """One row of the results.

    Attributes:
        row_id: its id.
        texts: labels and texts, those that went in first.
        word_errors: wrong and all words, None without a reference.
        sound_in: what was heard.
        sounds_out: what was made.
        streams: labels, lengths and pictures of the token streams.
        finish_reason: why generation ended.
    """

    row_id: str
    texts: tuple[tuple[str, str], ...]
    word_errors: tuple[int, int] | None
    sound_in: Sound | None
    sounds_out: tuple[Sound, ...]
    streams: tuple[tuple[str, int, str], ...]
    finish_reason: str


@dataclass
class Gallery:
    """Makes samples, and minds how much sound the page may hold.

    Args:
        storage: OUTPUT.
        sources: addresses in whose folders relative paths start: of the manifest's files, or of
            the folder that the job named.
        addresses: where input rows are that hold their sound themselves, by unit.
        output: what the task yields.
        columns: what the task reads.
        trusted: marks of the parts whose addresses may be followed out of OUTPUT, by their paths;
            None when those of all parts may.
        allow: what rows may name besides, see `AddressPolicy`.

    Attributes:
        left_out: sounds that went in were left out, for another may have chosen them.
    """

    storage: Storage
    sources: Sequence[str]
    addresses: Mapping[int, tuple[str, int, int]]
    output: str
    columns: Sequence[str]
    trusted: Mapping[str, Sequence[int | str]] | None = None
    allow: tuple[str, ...] = ()
    left_out: bool = False
    _left: int = MOST_MEDIA_BYTES
    _parts: dict[str, tuple[bytes, bool]] = field(default_factory=dict)

    def samples(self, facts: RowFacts) -> list[Sample]:
        """The rows that `facts` has picked; a row that cannot be understood is left out."""
        made = (self._sample(pick, facts.reference) for pick in facts.samples)
        return [sample for sample in made if sample]

    def _part(self, path: str) -> tuple[bytes, bool]:
        """A part's contents, and whether its addresses may be followed; the last one is kept."""
        if path not in self._parts:
            data = part_bytes(self.storage, path)
            sealed = list((self.trusted or {}).get(path, ())) == file_mark(data)
            self._parts = {path: (data, sealed)}
        return self._parts[path]

    def _sample(self, pick: Pick, reference: str | None) -> Sample | None:
        data, sealed = self._part(pick.part)
        own = sealed or self.trusted is None
        table, place = table_around(data, pick.part, pick.row, _is_shown, sealed)
        single = table.slice(place, 1)
        plain = [name for name in single.column_names if "_codes" not in name]
        row = plain_rows(single.select(plain))[0]
        if row is None:
            return None
        try:
            codes = read_codes(single, 0)
        except (ValueError, TypeError, AttributeError):
            codes = Codes.empty()  # columns of that name, but of other values
        hears = "audio" in self.columns
        self.left_out |= hears and not own
        return Sample(
            row_id=truncate(row["id"], 120),
            texts=self._texts(row, reference),
            word_errors=word_errors(row.get(reference), row.get("text")) if reference else None,
            sound_in=self._sound_in(row, unit_of(pick.part, data, pick.row))
            if hears and own
            else None,
            sounds_out=tuple(
                self._sound_out(row[name])
                for name in plain
                if name.startswith(AUDIO_PATH) and isinstance(row[name], str)
            ),
            streams=tuple(
                (name, len(stream), tokens_image(stream))
                for name, stream in (("reasoning", codes.reason), ("reconstruction", codes.recon))
                if len(stream)
            ),
            finish_reason=str(row.get(FINISH_REASON) or ""),
        )

    def _texts(self, row: Mapping[str, Any], reference: str | None) -> tuple[tuple[str, str], ...]:
        heard = self.output == "text"
        names = [*_INPUT_TEXTS, *(() if heard else ("text",))]
        texts = [
            ("reference" if name == reference else name.removeprefix("input_"), row[name])
            for name in names
            if isinstance(row.get(name), str) and row[name]
        ]
        if heard:
            texts.append(("result", str(row.get("text") or "")))
        if isinstance(row.get(VERIFY_REASON), str):
            texts.append(("fails", row[VERIFY_REASON]))
        return tuple((label, truncate(text, _TEXT_CHARACTERS)) for label, text in texts)

    def _sound_in(self, row: Mapping[str, Any], unit: int) -> Sound:
        if not any(isinstance(row.get(name), str) for name in AUDIO_COLUMNS):
            return self._shown(lambda: self._held(row, unit))
        wanted = {name: row.get(name) for name in _SOUND_COLUMNS}
        bases = list(dict.fromkeys(posixpath.dirname(source) for source in self.sources))
        found = Sound()
        for base in bases[:_MOST_BASES]:
            found = self._shown(functools.partial(self._input_wave, wanted, base))
            if found.duration_s is not None:
                break
        return found

    def _held(self, result: Mapping[str, Any], unit: int) -> Tensor:
        """The sound of a row whose manifest holds it, instead of its name."""
        source, start, stop = self.addresses.get(unit, ("", 0, 0))
        if not source:
            raise KeyError("the manifest holds the sound itself")
        rows = read_parquet_rows(source, start, stop)
        ids, row_id = row_ids(rows), result["id"]
        place = ids.index(row_id if row_id in ids else whole_id(row_id))
        names = [name for name in rows.column_names if name in _SOUND_COLUMNS]
        row = {name: cell_value(name, rows[name][place]) for name in names}
        # which the run may have chosen
        channel = {name: result[name] for name in CHANNEL_COLUMNS if result.get(name) is not None}
        return self._input_wave({**row, **channel}, posixpath.dirname(source))

    def _input_wave(self, row: Mapping[str, Any], base: str) -> Tensor:
        """The sound that a row names or holds, ``[N]`` at 24 kHz."""
        named = next((row[name] for name in AUDIO_COLUMNS if isinstance(row.get(name), str)), "")
        policy = AddressPolicy(base, self.allow, tar_of(named))
        return load_wave(row, policy, _MOST_INPUT_S, Limits(_MOST_INPUT_BYTES, _MOST_WAIT_S))

    def _sound_out(self, audio_path: str) -> Sound:
        return self._shown(lambda: decode_audio(read_sound(self.storage, audio_path)))

    def _shown(self, read: Callable[[], Tensor]) -> Sound:
        try:
            heard = read()
            wave = heard[: round(SHOWN_S * SAMPLE_RATE)]
            data = encode_audio(wave, "flac")
        except BadRow as fault:
            return Sound(note=f"not available: {truncate(fault.message, 160)}")
        except (OSError, LookupError, ValueError, pa.ArrowException) as fault:
            return Sound(note=f"not available: {shown(fault, 160)}")
        notes = [f"the first {SHOWN_S:g} s"] if len(heard) > len(wave) else []
        player = ""
        if len(data) <= self._left:
            self._left -= len(data)
            player = data_uri("audio/flac", data)
        else:
            notes.append("no player, to keep this page small")
        return Sound(
            len(heard) / SAMPLE_RATE,
            waveform_path(wave),
            spectrogram_image(wave),
            player,
            ", ".join(notes),
        )


def _is_shown(name: str) -> bool:
    return name in _SHOWN or name.startswith(AUDIO_PATH)


def unit_of(part: str, data: bytes, row: int) -> int:
    """The number of the unit that a row was done in: a part's name tells, or a merged part itself.

    Args:
        part: path of the part.
        data: its contents.
        row: its number there.
    """
    for unit, rows in units_merged(data):
        if row < rows:
            return unit
        row -= rows
    return int(posixpath.basename(part).split("-")[1])
