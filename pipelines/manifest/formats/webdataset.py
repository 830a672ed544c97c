"""WebDataset tars as tables: their headers and small texts are read, their audio stays in place.

A sample is the run of members that share a name up to the first dot. Audio becomes an address
inside the tar (``shard.tar#bytes=START+LENGTH``), so that a unit reads its own rows alone.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from actors.storage.fetch import byte_range
from pipelines.manifest.formats.text_formats import fault_row
from pipelines.manifest.tables.asked import Asked
from pipelines.manifest.tables.row_tables import Numbered, Row, table_of_rows
from pipelines.manifest.tables.text_lines import Meter

_MAX_MEMBER_BYTES = 4 << 20
_COLUMNS = ("text", "caption", "question", "lyric", "speaker", "language")
_TEXTS = {".txt": "text", **{f".{name}": name for name in _COLUMNS}}


def split_name(name: str) -> tuple[str, str, str]:
    """Key, part and ending of a member: the file name is cut at its first and its last dot.

    ``a/b.left.wav`` is the ending ``.wav`` of the part ``.left`` of ``a/b``; most have no part.
    """
    folder, file = posixpath.split(name)
    stem, dot, extension = file.partition(".")
    part, _, ending = (dot + extension).rpartition(".")
    return posixpath.join(folder, stem), part, (dot + ending).lower()


def read_tar(
    file: BinaryIO, uri: str, audio_suffixes: tuple[str, ...], asked: Asked | None = None
) -> pa.Table:
    """The samples of a tar, in its order.

    Args:
        file: the tar, seekable.
        uri: its address, which `audio` of every row begins with.
        audio_suffixes: extensions that are audio.
        asked: how many rows suffice; headers count as characters, and samples are read whole.

    Returns:
        `id` (the key), `audio`, `text` of ``.txt``, and the keys of ``.json``; a key with several
        sounds gives a row for each. A tar that ends too early gives a row that fails after those
        that could be read.
    """

    def numbered(meter: Meter) -> Numbered:
        file.seek(0)
        return enumerate(_samples(file, uri, audio_suffixes, meter), 1)

    return table_of_rows(numbered, asked)


@dataclass
class _Sample:
    """What the members of one key hold, by the part of their names.

    Attributes:
        key: what they share.
        sounds: addresses of the audio.
        facts: what texts and JSON say; what is wrong with them is under `fault`.
    """

    key: str
    sounds: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Row] = field(default_factory=dict)

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


def _samples(
    file: BinaryIO, uri: str, audio_suffixes: tuple[str, ...], meter: Meter
) -> Iterator[Row | str]:
    sample: _Sample | None = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every header
                meter.characters += tarfile.BLOCKSIZE
                key, part, ending = split_name(member.name)
                # what has no ending belongs to no sample, as for the library
                if not member.isfile() or not ending or posixpath.basename(key) == "":
                    continue
                if sample and sample.key != key:
                    yield from sample.rows()
                    sample = None
                sample = sample or _Sample(key)
                is_text = ending == ".json" or ending in _TEXTS
                is_sparse = member.issparse()
                if is_sparse and (is_text or ending in audio_suffixes):
                    # a few bytes may stand for any number, and they are not where others are
                    fault = f"{ending} is a sparse member; pack the tar without --sparse"
                    sample.facts.setdefault(part, {})["fault"] = fault
                if ending in audio_suffixes:
                    sample.sounds[part] = byte_range(uri, member.offset_data, member.size)
                elif is_text and not is_sparse:
                    meter.characters += member.size
                    _add_text(sample.facts.setdefault(part, {}), tar, member, ending)
    except (tarfile.TarError, EOFError, OSError) as error:
        yield f"{uri} cannot be read on: {error}; fetch it again"
        return
    if sample:
        yield from sample.rows()


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
