"""Where generated audio goes: a file a row, or one tar a unit."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Literal

from actors.storage import Storage

AudioLayout = Literal["files", "tar"]


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    """A tar of small files in memory; equal members make equal bytes."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


def lay_out(
    place: str, sounds: Mapping[str, bytes], layout: AudioLayout
) -> tuple[str, dict[str, bytes]]:
    """Decide the objects of a unit's audio.

    Args:
        place: the unit's name below ``audio/``.
        sounds: contents by file name.
        layout: a file each, or all in one tar.

    Returns:
        what every `audio_path` begins with, and the objects to store by path. Inside a tar,
        `audio_path` is the tar's path and the member's name.
    """
    if layout == "tar":
        tar = f"audio/{place}.tar"
        return tar, {tar: tar_bytes(sounds)} if sounds else {}
    folder = f"audio/{place}"
    return folder, {f"{folder}/{name}": data for name, data in sounds.items()}


def read_sound(storage: Storage, audio_path: str) -> bytes:
    """The audio file that an `audio_path` of a result names, in either layout."""
    tar_path, inside, member = audio_path.partition(".tar/")
    if not inside:
        return storage.read(audio_path)
    with tarfile.open(fileobj=io.BytesIO(storage.read(f"{tar_path}.tar"))) as tar:
        file = tar.extractfile(member)
        if file is None:
            raise FileNotFoundError(f"{audio_path}: no such member")
        return file.read()
