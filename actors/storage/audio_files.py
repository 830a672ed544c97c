"""Store and read generated audio: a file a row, or one tar a unit."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Literal

from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

AudioLayout = Literal["files", "tar"]
_MOST_SOUND_BYTES = 4 << 30


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    """A tar of small files in memory; equal members make equal bytes."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


def audio_objects(
    unit_name: str, sounds: Mapping[str, bytes], layout: AudioLayout
) -> tuple[str, dict[str, bytes]]:
    """Lay out the objects of a unit's audio.

    Args:
        unit_name: the unit's name below ``audio/``.
        sounds: contents by file name.
        layout: a file each, or all in one tar.

    Returns:
        what every `audio_path` begins with, and the objects to store by path. Inside a tar,
        `audio_path` is the tar's path and the member's name.
    """
    if layout == "tar":
        tar = f"audio/{unit_name}.tar"
        return tar, {tar: tar_bytes(sounds)} if sounds else {}
    folder = f"audio/{unit_name}"
    return folder, {f"{folder}/{name}": data for name, data in sounds.items()}


def read_sound(storage: Storage, audio_path: str) -> bytes:
    """The audio file that an `audio_path` of a result names, in either layout.

    Raises:
        BadRow: nothing is there, or a link, or a tar that is none.
        OSError: storage did not answer.
    """
    tar_path, inside, member = audio_path.partition(".tar/")
    try:
        if not inside:
            return storage.read(audio_path, _MOST_SOUND_BYTES)
        return read_members(storage, f"{tar_path}.tar")[member]
    except KeyError as fault:
        raise BadRow("missing_file", f"{quoted(audio_path)}: the tar has no such member") from fault
    except (ForeignPath, FileNotFoundError) as fault:
        what = str(fault) if isinstance(fault, ForeignPath) else "nothing is there"
        raise BadRow("missing_file", f"{quoted(audio_path)}: {what}") from fault


def read_members(storage: Storage, tar_path: str) -> dict[str, bytes]:
    """The files of a tar by their names; what is no plain file in it is left out.

    Raises:
        BadRow: it is no tar.
        OSError: it cannot be read.
    """
    data = storage.read(tar_path)
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                # a sparse file could claim any size
                plain = member.isreg() and not member.issparse()
                file = tar.extractfile(member) if plain else None
                if file is not None:
                    members[member.name] = file.read(len(data))
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as fault:
        message = f"{quoted(tar_path)} is no whole tar; `uniaudio2 status --verify` finds all"
        raise BadRow("unreadable_file", message) from fault
    return members
