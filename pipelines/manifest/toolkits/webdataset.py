"""WebDataset tars as tables: their headers and small texts are read, their audio stays in place.

A sample is the run of members that share a name up to the first dot. Audio becomes an address
inside the tar (``shard.tar#bytes=START+LENGTH``), so that a unit reads its own rows alone.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from actors.storage.fetch import byte_range
from pipelines.manifest.tables.audio_names import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from pipelines.manifest.tables.noticed import HIDDEN, NO_SUFFIX
from pipelines.manifest.tables.row_tables import NumberedRows, Row, fault_row, table_of_rows
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import CharacterCount
from uniaudio2.audio.content import LOOK_BYTES, holds_audio

_MAX_MEMBER_BYTES = 4 << 20
_COLUMNS = ("text", "caption", "question", "lyric", "speaker", "language")
_TEXTS = {".txt": "text", **{f".{name}": name for name in _COLUMNS}}
_WHY = "of a sample its audio, .json and texts such as .txt are read"
_WHY_BY_NAME = f"{_WHY}; --set manifest.suffixes=all also takes what is audio by its content"
_SECOND = "second sounds"


def split_name(name: str) -> tuple[str, str, str]:
    """Key, part and ending of a member: the file name is cut at its first and its last dot.

    ``a/b.left.wav`` is the ending ``.wav`` of the part ``.left`` of ``a/b``; most have no part.
    """
    folder, file = posixpath.split(name)
    stem, dot, extension = file.partition(".")
    part, _, ending = (dot + extension).rpartition(".")
    return posixpath.join(folder, stem), part, (dot + ending).lower()


def read_tar(file: BinaryIO, uri: str, scan: Scan | None = None) -> pa.Table:
    """The samples of a tar, in its order.

    Args:
        file: the tar, seekable.
        uri: its address, which `audio` of every row begins with.
        scan: how many rows suffice; headers count as characters, and samples are read whole. It
            is told which members are left out.

    Returns:
        `id` (the key), `audio`, `text` of ``.txt``, and the keys of ``.json``; a key with several
        sounds gives a row for each. A tar that ends too early gives a row that fails after those
        that could be read.
    """
    scan = scan or Scan()
    left_out = Counter[str]()

    def numbered(meter: CharacterCount) -> NumberedRows:
        file.seek(0)
        left_out.clear()  # of a first reading
        return enumerate(_Tar(file, uri, scan.suffixes == "all", meter, left_out).samples(), 1)

    table = table_of_rows(numbered, scan)
    why = _WHY if scan.suffixes == "all" else _WHY_BY_NAME
    scan.noticed.leave_out("tar members", left_out, why)
    return table


@dataclass
class _Sample:
    """The members of one key, by the part of their names.

    Attributes:
        key: what they share.
        sounds: addresses of the audio.
        facts: what texts and JSON say; what is wrong with them is under `fault`.
    """

    key: str
    sounds: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Row] = field(default_factory=dict)
    _videos: set[str] = field(default_factory=set)

    def hear(self, part: str, ending: str, address: str) -> bool:
        """Take a sound; False where a part has two, one of which is left out.

        A part has two where the same sound lies there in two formats, or beside its video: then
        the first is heard, and audio rather than video.
        """
        is_new = part not in self.sounds
        is_video = ending in VIDEO_SUFFIXES
        if is_new or (part in self._videos and not is_video):
            self.sounds[part] = address
            self._videos = self._videos - {part} | ({part} if is_video else set())
        return is_new

    def rows(self) -> Iterator[Row]:
        """One row; or one for each part, named by it, where a key has several sounds.

        File names that hold a dot (``speaker.1.flac``, ``speaker.2.flac``) share a key, and so do
        the channels of one recording: none of them may be lost.
        """
        shared = self.facts.get("", {})
        parts = list(self.sounds) or ([""] if shared else list(self.facts)) or [""]
        for part in parts:
            name = self.key + part if len(parts) > 1 else self.key
            facts = shared | self.facts.get(part, {})
            fault = facts.pop("fault", None)
            sound = {"audio": self.sounds[part]} if part in self.sounds else {}
            yield fault_row(name, fault) if fault else {"id": name, **sound, **facts}


@dataclass
class _Tar:
    """A tar as it is read.

    Args:
        file: the tar.
        uri: its address.
        by_content: members of other suffixes are audio if they begin as audio does.
        meter: counts what is read.
        left_out: counts members that are not, by suffix.
    """

    file: BinaryIO
    uri: str
    by_content: bool
    meter: CharacterCount
    left_out: Counter[str]

    def samples(self) -> Iterator[Row | str]:
        """A row for each sample, and at the end one that fails where the tar is damaged."""
        sample: _Sample | None = None
        try:
            with tarfile.open(fileobj=self.file, mode="r:") as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
                    self.meter.characters += tarfile.BLOCKSIZE
                    key, part, ending = split_name(member.name)
                    # what has no ending belongs to no sample, as for the library
                    if not member.isfile() or not ending or posixpath.basename(key) == "":
                        self._leave_out(member, ending)
                        continue
                    if sample and sample.key != key:
                        yield from sample.rows()
                        sample = None
                    sample = sample or _Sample(key)
                    self._add(sample, tar, member, part, ending)
        except (tarfile.TarError, EOFError, OSError) as error:
            yield f"{self.uri} cannot be read on: {error}; fetch it again"
            return
        if sample:
            yield from sample.rows()

    def _add(
        self, sample: _Sample, tar: tarfile.TarFile, member: tarfile.TarInfo, part: str, ending: str
    ) -> None:
        """Take a member into its sample, or count it."""
        is_text = ending == ".json" or ending in _TEXTS
        is_audio = ending in AUDIO_SUFFIXES
        if member.issparse():
            if is_text or is_audio:
                # a few bytes may stand for any number, and they are not where others are
                fault = f"{ending} is a sparse member; pack the tar without --sparse"
                sample.facts.setdefault(part, {})["fault"] = fault
            else:
                self.left_out[ending] += 1
        elif is_text:
            self.meter.characters += member.size
            _add_text(sample.facts.setdefault(part, {}), tar, member, ending)
        elif is_audio or (self.by_content and _is_audio(tar, member)):
            address = byte_range(self.uri, member.offset_data, member.size)
            if not sample.hear(part, ending, address):
                self.left_out[_SECOND] += 1
        else:
            self.left_out[ending] += 1

    def _leave_out(self, member: tarfile.TarInfo, ending: str) -> None:
        if member.isdir():
            return
        if member.islnk() or member.issym():
            self.left_out["links"] += 1
        else:
            self.left_out[HIDDEN if ending else NO_SUFFIX] += 1


def _is_audio(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
    stream = tar.extractfile(member)
    return stream is not None and holds_audio(stream.read(LOOK_BYTES))


def _add_text(row: Row, tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> None:
    """Read a small member into the row; what is wrong with it goes to the key `fault`."""
    if member.size > _MAX_MEMBER_BYTES:
        row["fault"] = f"{extension} of {member.size} bytes; at most {_MAX_MEMBER_BYTES}"
        return
    stream = tar.extractfile(member)
    data = stream.read() if stream else b""
    if len(data) < member.size:
        raise EOFError("a member is cut short")
    try:
        text = data.decode("utf-8-sig")
        if extension != ".json":
            row[_TEXTS[extension]] = text.strip("\r\n")
            return
        facts: Any = json.loads(text)
    except UnicodeDecodeError:
        row["fault"] = f"{extension}: text that is not valid UTF-8; save it as UTF-8"
        return
    except (ValueError, RecursionError) as fault:
        row["fault"] = f"{extension}: {fault}"
        return
    if not isinstance(facts, dict):
        row["fault"] = f".json holds a {type(facts).__name__}, not an object"
        return
    for name, value in facts.items():
        row.setdefault(f"json_{name}" if name in ("id", "audio", "fault") else name, value)
