"""A model's folder on object storage or a hub, fetched once per node into a cache.

A fetched file appears under its name when it is complete and its size is the listed one. What was
fetched from object storage before a stop is not fetched again; of hubs see `model_hub`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from actors.storage.file_systems import retrying, split_uri
from actors.storage.model_hub import cache_folder, commit_of, hub_files, hub_folder

BLOCK_BYTES = 32 << 20
_SLUG_CHARACTERS = 60


@dataclass(frozen=True)
class RemoteFile:
    """One file of a folder.

    Attributes:
        size: in bytes.
        mark: changes with the contents: an ETag or a time; nothing on a hub, whose commits do.
    """

    size: int
    mark: str = ""

    @staticmethod
    def of_listing(facts: Mapping[str, Any]) -> RemoteFile:
        """Make one of what a file system tells about a file."""
        marks = map(facts.get, ("ETag", "LastModified", "mtime", "created"))
        return RemoteFile(int(facts["size"]), str(next(filter(None, marks), "")))


def list_folder(uri: str) -> dict[str, RemoteFile]:
    """List the files of a folder and of the folders in it, by their names.

    Args:
        uri: the folder; one of a hub's repository is `model_hub.pinned`.

    Raises:
        ValueError: nothing is there.
        OSError: storage did not answer.
    """
    uri = uri.rstrip("/")
    found = _hub_listing(uri) if commit_of(uri) else _store_listing(uri)
    names = [name for name in found if re.fullmatch(r"[^/.][^/]*(/[^/.][^/]*)?", name)]
    if not names:
        raise ValueError(f"model {uri!r} holds no files; check the address and the endpoint")
    return {name: found[name] for name in sorted(names)}


def _hub_listing(uri: str) -> dict[str, RemoteFile]:
    return {name: RemoteFile(size) for name, size in hub_files(uri).items()}


def _store_listing(uri: str) -> dict[str, RemoteFile]:
    fs, path = split_uri(uri, tries=1)
    try:
        found = retrying(lambda: fs.find(path, detail=True), f"listing {uri}")
    except (FileNotFoundError, PermissionError) as fault:
        line = " ".join(str(fault).split()) or type(fault).__name__
        raise ValueError(f"model {uri!r} cannot be listed: {line}") from fault
    return {
        str(name)[len(path) + 1 :]: RemoteFile.of_listing(facts)
        for name, facts in found.items()
        if str(name).startswith(path + "/")
    }


def fetch_folder(
    uri: str, files: Mapping[str, RemoteFile], only: Callable[[str], bool] = lambda _: True
) -> Path:
    """Fetch files of a folder into the cache, those that are not there yet.

    Processes of a node take turns; contents that changed make another folder.

    Args:
        uri: the folder.
        files: of `list_folder`.
        only: which of them are wanted.

    Raises:
        ValueError: what came is not what was listed.
        OSError: storage did not answer, or the disk is full; the same call goes on.
    """
    uri = uri.rstrip("/")
    if commit_of(uri):
        return hub_folder(uri, list(filter(only, files)))
    identity = hashlib.blake2b(uri.encode(), digest_size=8)
    for name, file in files.items():
        identity.update(f"{name}:{file.size}:{file.mark}\0".encode())
    slug = re.sub(r"[^A-Za-z0-9]+", "-", uri).strip("-")[-_SLUG_CHARACTERS:]
    folder = cache_folder() / "fetched" / f"{slug}-{identity.hexdigest()}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        for name, file in files.items():
            target = folder / name
            if only(name) and not (target.is_file() and target.stat().st_size == file.size):
                _fetch_file(f"{uri}/{name}", file, target)
    return folder


def _fetch_file(uri: str, file: RemoteFile, target: Path) -> None:
    fs, path = split_uri(uri, tries=1)
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(target.name + ".part")
    with part.open("ab") as sink:
        done = sink.tell()
        while done < file.size:
            stop = min(done + BLOCK_BYTES, file.size)
            block = _read_block(fs, path, done, stop, uri)
            sink.write(block)
            done += len(block)
        sink.flush()
        os.fsync(sink.fileno())
    if (size := part.stat().st_size) != file.size:
        part.unlink()  # another try starts anew
        raise ValueError(f"{uri}: {size} bytes came where {file.size} are listed; try again")
    part.replace(target)


def _read_block(fs: Any, path: str, start: int, stop: int, uri: str) -> bytes:
    data = retrying(lambda: bytes(fs.cat_file(path, start=start, end=stop)), f"fetching {uri}")
    if len(data) != stop - start:
        raise ValueError(
            f"{uri}: bytes {start} to {stop} came as {len(data)} bytes; the file changed while it "
            "was fetched: try again"
        )
    return data
