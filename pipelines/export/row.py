"""One result as an exporter sees it, and where its audio is."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf
from typing import Any, get_args

import soundfile

from actors.batch.audio_values import listed_files
from actors.batch.names import AUDIO_COLUMNS, AUDIO_PATH, INPUT_DURATION_S
from actors.inputs.audio import load_wave, span_of
from actors.inputs.channels import channel_of
from actors.stages.write import AudioFormat, file_stem
from actors.storage.addresses import AddressPolicy, resolve, tar_of
from actors.storage.audio_files import read_members, read_sound
from actors.storage.fetch import MAX_BYTES, fetch
from actors.storage.file_systems import split_uri
from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from uniaudio2.audio.files import decode_audio, encode_audio
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted
from uniaudio2.tokens.codes import Codes

_TARS_HELD = 2


@dataclass(frozen=True)
class Sound:
    """Audio of a result.

    Attributes:
        data: contents that belong into the export; None when the audio stays where it is.
        suffix: ending of its file name.
        uri: where audio that stays is.
        start_s: first second of it.
        duration_s: length of the row's audio.
        policy: what the manifest that named it may name.
    """

    data: bytes | None
    suffix: str
    uri: str
    start_s: float
    duration_s: float
    policy: AddressPolicy = field(default_factory=AddressPolicy)

    def header(self) -> Any:
        """Sample rate and length of the whole file, as soundfile tells them."""
        data = fetch(self.uri, MAX_BYTES, self.policy) if self.data is None else self.data
        return _header(data)


def _header(data: bytes) -> Any:
    try:
        return soundfile.info(io.BytesIO(data))
    except RuntimeError as fault:  # of libsndfile, which may quote what it read
        raise BadRow("unreadable_audio", "its audio cannot be decoded") from fault


def _duration_s(facts: Mapping[str, Any]) -> float:
    value = facts.get(INPUT_DURATION_S)
    if not isinstance(value, float) or not 0 <= value < inf:
        raise BadRow("missing_value", "input_duration_s is not a number of seconds")
    return value


class Sounds:
    """Finds the audio of results.

    Args:
        output: OUTPUT of the run.
        generated: the run made audio; otherwise the audio that went in is meant.
        base: what relative paths of the input are relative to; None when that is not one folder.
        copy: take input audio into the export too.
        allow: what rows may name besides, see `AddressPolicy`.
    """

    def __init__(
        self,
        output: str,
        generated: bool,
        base: str | None,
        copy: bool,
        allow: tuple[str, ...] = (),
    ) -> None:
        self.allow = allow
        self.storage = Storage(output)
        self.generated = generated
        self.base = base
        self.copy = copy
        self._tar = lru_cache(maxsize=_TARS_HELD)(self._read_tar)

    def find(self, facts: Mapping[str, Any], own: bool = True) -> Sound | None:
        """The audio of a row; None when the row names none.

        Args:
            facts: columns of the row.
            own: what it names outside of OUTPUT may be read.

        Raises:
            BadRow: what is named cannot be read, or may not be.
        """
        if self.generated:
            return self._made(facts)
        name = next((facts[column] for column in AUDIO_COLUMNS if facts.get(column)), None)
        if not isinstance(name, str):
            return None
        if not own:
            raise BadRow(
                "input_of_another",
                "its audio lies outside of OUTPUT, and another user or machine made this run or "
                "parts of it; --with-input-audio reads it all the same",
            )
        return self._given(name, facts)

    def _made(self, facts: Mapping[str, Any]) -> Sound:
        path, suffix = facts.get(AUDIO_PATH), ""
        if isinstance(path, str):
            suffix = path.rpartition(".")[2]
        if not isinstance(path, str) or suffix not in get_args(AudioFormat):
            raise BadRow("missing_value", "audio_path names no audio file; the run makes flac, wav")
        tar, inside, member = path.partition(".tar/")
        try:
            data = self._tar(f"{tar}.tar")[member] if inside else read_sound(self.storage, path)
        except (KeyError, ForeignPath, FileNotFoundError) as fault:
            raise BadRow("missing_file", f"{quoted(path)} is not a file of this OUTPUT") from fault
        header = _header(data)
        return Sound(data, suffix, "", 0.0, header.frames / header.samplerate)

    def _read_tar(self, path: str) -> dict[str, bytes]:
        return read_members(self.storage, path)

    def _given(self, name: str, facts: Mapping[str, Any]) -> Sound:
        if files := listed_files(name):
            return self._mixed(files, facts)
        uri = self._address(name)
        policy = AddressPolicy(self.base or "", self.allow, tar_of(uri))
        policy.check(uri)
        start_s, end_s = span_of(facts)
        wanted = channel_of(facts)
        channel = None if wanted == "mix" else wanted
        duration_s = _duration_s(facts)
        # other toolkits can say a span, but neither a part of a tar nor one channel of a file
        if self.copy or channel is not None or "#bytes=" in uri:
            data = fetch(uri, MAX_BYTES, policy)
            wave = decode_audio(data, start_s, end_s, inf, channel)
            return Sound(encode_audio(wave), "flac", "", 0.0, duration_s)
        return Sound(None, "", uri, start_s, duration_s, policy)

    def _mixed(self, files: Sequence[str], facts: Mapping[str, Any]) -> Sound:
        """Several files that are one recording: what of them was heard, as a file of the export."""
        policy = AddressPolicy(self.base or "", self.allow)
        row = {**facts, AUDIO_COLUMNS[0]: [self._address(file) for file in files]}
        wave = load_wave(row, policy, inf)
        return Sound(encode_audio(wave), "flac", "", 0.0, _duration_s(facts))

    def _address(self, name: str) -> str:
        if self.base is None and resolve(name, "/x") != name:
            raise BadRow(
                "missing_file",
                f"audio {name[:200]!r} is relative, and the input lies in more than one folder; "
                "use absolute paths in the manifest",
            )
        uri = resolve(name, self.base or "")
        fs, path = split_uri(uri.partition("#bytes=")[0])
        if uri != name and not fs.exists(path):
            raise BadRow(
                "missing_file",
                f"audio {name[:200]!r} is not a file, as when a manifest holds the audio itself",
            )
        return uri


@dataclass(frozen=True)
class ExportRow:
    """One result.

    Attributes:
        facts: its columns by name, all but the codes.
        codes: its tokens, empty where it has none.
        sounds: finds its audio.
        own: what it names outside of OUTPUT may be read.
    """

    facts: dict[str, Any]
    codes: Codes
    sounds: Sounds
    own: bool = True

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    @cached_property
    def stem(self) -> str:
        """A file name for the id that leaves no folder and that no other id has."""
        return file_stem(self.id)

    @property
    def text(self) -> str | None:
        """The spoken or described text: the result's, or the input's."""
        found = (self.facts.get(name) for name in ("text", "caption", "lyric"))
        return next((value for value in found if isinstance(value, str)), None)

    def sound(self) -> Sound | None:
        """Its audio; see `Sounds.find`."""
        return self.sounds.find(self.facts, self.own)

    def need_sound(self) -> Sound:
        """Its audio.

        Raises:
            BadRow: it has none, or none that can be read.
        """
        sound = self.sound()
        if sound is None:
            raise BadRow(
                "missing_value", "the row names no audio; a format without audio can hold it"
            )
        return sound
