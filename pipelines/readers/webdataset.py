"""WebDataset tars as tables: their headers and small texts are read, their audio stays in place.

A sample is the run of members that share a name up to the first dot. Audio becomes an address
inside the tar (``shard.tar#bytes=START+LENGTH``), so that a unit reads its own rows alone.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from actors.fetch import byte_range
from pipelines.rows import Row, fault_row, table_of_rows

_MAX_MEMBER_BYTES = 4 << 20
_COLUMNS = ("text", "caption", "question", "lyric", "speaker", "language")
_TEXTS = {".txt": "text", **{f".{name}": name for name in _COLUMNS}}


def split_name(name: str) -> tuple[str, str]:
    """Key and extension of a member: the file name is cut at its first dot."""
    folder, file = posixpath.split(name)
    stem, dot, extension = file.partition(".")
    return posixpath.join(folder, stem), (dot + extension).lower()


def read_tar(file: BinaryIO, uri: str, audio_suffixes: tuple[str, ...]) -> pa.Table:
    """The samples of a tar, in its order.

    Args:
        file: the tar, seekable.
        uri: its address, which `audio` of every row begins with.
        audio_suffixes: extensions that are audio.

    Returns:
        `id` (the key), `audio`, `text` of ``.txt``, and the keys of ``.json``. A tar that ends
        too early gives a row that fails after those that could be read.
    """
    return table_of_rows(enumerate(_samples(file, uri, audio_suffixes), 1))


def _samples(file: BinaryIO, uri: str, audio_suffixes: tuple[str, ...]) -> Iterator[Row | str]:
    row: Row = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                key, extension = split_name(member.name)
                if not member.isfile() or posixpath.basename(key) == "":
                    continue
                if row and row["id"] != key:
                    yield _finished(row)
                    row = {}
                row.setdefault("id", key)
                if extension.endswith(audio_suffixes):
                    row["audio"] = byte_range(uri, member.offset_data, member.size)
                elif extension == ".json" or extension in _TEXTS:
                    _add_text(row, tar, member, extension)
                tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every header
    except (tarfile.TarError, EOFError, OSError) as fault:
        yield f"{uri} cannot be read on: {fault}; fetch it again"
        return
    if row:
        yield _finished(row)


def _finished(row: Row) -> Row:
    fault = row.pop("fault", None)
    return fault_row(row["id"], fault) if fault else row


def _add_text(row: Row, tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> None:
    """Read a small member into the row; what is wrong with it goes to the key `fault`."""
    if member.size > _MAX_MEMBER_BYTES:
        row["fault"] = f"{extension} of {member.size} bytes; at most {_MAX_MEMBER_BYTES}"
        return
    stream = tar.extractfile(member)
    data = stream.read() if stream else b""
    if len(data) < member.size:
        raise EOFError(f"{member.name} is cut short")
    try:
        text = data.decode("utf-8-sig")
        if extension != ".json":
            row[_TEXTS[extension]] = text.strip("\r\n")
            return
        facts: Any = json.loads(text)
    except (ValueError, RecursionError) as fault:
        row["fault"] = f"{extension}: {fault}"
        return
    if not isinstance(facts, dict):
        row["fault"] = f".json holds a {type(facts).__name__}, not an object"
        return
    for name, value in facts.items():
        row.setdefault(f"json_{name}" if name in ("id", "audio", "fault") else name, value)
