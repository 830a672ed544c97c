"""One result as an exporter sees it, and where its audio is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf
from typing import Any

import soundfile

from actors.addresses import AddressPolicy, resolve, tar_of
from actors.audio_rows import AUDIO_COLUMNS, channel_of, span_of
from actors.fetch import MAX_BYTES, fetch
from actors.storage import Storage, split_uri
from actors.write import file_stem
from uniaudio2.audio import decode_audio, encode_audio
from uniaudio2.codes import Codes
from uniaudio2.errors import BadRow

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
        """Sample rate and frames of the whole file, as soundfile tells them."""
        data = fetch(self.uri, MAX_BYTES, self.policy) if self.data is None else self.data
        return soundfile.info(io.BytesIO(data))


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

    def find(self, facts: Mapping[str, Any]) -> Sound | None:
        """The audio of a row; None when the row names none.

        Raises:
            BadRow: what is named cannot be read.
        """
        if self.generated:
            return self._made(facts)
        name = next((facts[column] for column in AUDIO_COLUMNS if facts.get(column)), None)
        if not isinstance(name, str):
            return None
        return self._given(name, facts)

    def _made(self, facts: Mapping[str, Any]) -> Sound:
        path = str(facts["audio_path"])
        tar, inside, member = path.partition(".tar/")
        data = self._tar(f"{tar}.tar")[member] if inside else self.storage.read(path)
        return Sound(data, path.rpartition(".")[2], "", 0.0, float(facts["duration_s"]))

    def _read_tar(self, path: str) -> dict[str, bytes]:
        with tarfile.open(fileobj=io.BytesIO(self.storage.read(path))) as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            return {name: file.read() for name, file in files.items() if file}

    def _given(self, name: str, facts: Mapping[str, Any]) -> Sound:
        uri = self._address(name)
        policy = AddressPolicy(self.base or "", self.allow, tar_of(uri))
        policy.check(uri)
        start_s, end_s = span_of(facts)
        channel = channel_of(facts)
        duration_s = float(facts["input_duration_s"])
        # other toolkits can say a span, but neither a part of a tar nor one channel of a file
        if self.copy or channel is not None or "#bytes=" in uri:
            data = fetch(uri, MAX_BYTES, policy)
            wave = decode_audio(data, start_s, end_s, inf, channel)
            return Sound(encode_audio(wave), "flac", "", 0.0, duration_s)
        return Sound(None, "", uri, start_s, duration_s, policy)

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
                f"audio {name[:200]!r} is no file, as when a manifest holds the audio itself",
            )
        return uri


@dataclass(frozen=True)
class ExportRow:
    """One result.

    Attributes:
        facts: its columns by name, all but the codes.
        codes: its tokens, empty where it has none.
        sounds: finds its audio.
    """

    facts: dict[str, Any]
    codes: Codes
    sounds: Sounds

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    @cached_property
    def stem(self) -> str:
        """A file name for the id that leaves no folder and that no other id has."""
        return file_stem(self.id)

    @property
    def text(self) -> str | None:
        """What is said or described: the result's text, or the text that went in."""
        found = (self.facts.get(name) for name in ("text", "caption", "lyric"))
        return next((value for value in found if isinstance(value, str)), None)

    def sound(self) -> Sound | None:
        """Its audio; see `Sounds.find`."""
        return self.sounds.find(self.facts)

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
