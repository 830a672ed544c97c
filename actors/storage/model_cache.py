"""A folder on object storage or a hub, fetched once per node into a cache.

A fetched file appears under its name when it is complete and its size is the listed one, and its
hash where the listing gives one. What was fetched before a stop is not fetched again.
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

PIECE_BYTES = 32 << 20
_SLUG_CHARACTERS = 60
_HUB = "hf://"
_COMMIT = r"[0-9a-f]{40}"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a folder.

    Attributes:
        size: in bytes.
        mark: changes with the contents: a hash, an ETag or a time.
        sha256: of the contents, where the listing gives it.
        git_sha1: of the contents as git counts them, where the listing gives it.
    """

    size: int
    mark: str
    sha256: str | None = None
    git_sha1: str | None = None

    @staticmethod
    def of_listing(facts: Mapping[str, Any]) -> RemoteFile:
        """From what a file system tells about a file."""
        large = facts.get("lfs") or {}
        sha256, git_sha1 = large.get("sha256"), facts.get("blob_id")
        times = (facts.get("LastModified"), facts.get("mtime"), facts.get("created"))
        mark = sha256 or git_sha1 or facts.get("ETag") or next(filter(None, times), "")
        return RemoteFile(int(facts["size"]), str(mark), sha256, None if large else git_sha1)


def cache_folder() -> Path:
    """Where models are kept: ``UNIAUDIO2_CACHE``, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("UNIAUDIO2_CACHE") or Path(base) / "uniaudio2")


def pinned(uri: str) -> str:
    """The address of a folder as it is now: on a hub, with the commit that its revision names.

    ``hf://ORG/NAME@REVISION/FOLDER`` takes a branch, a tag or a commit; without a revision the
    default branch is meant. Every other address comes back as it is.

    Raises:
        ValueError: no such repository or revision.
        OSError: the hub did not answer.
    """
    if not uri.startswith(_HUB) or commit_of(uri):
        return uri
    fs, path = split_uri(uri.rstrip("/"), tries=1)
    try:
        place = retrying(lambda: fs.resolve_path(path), f"looking for {uri}")
        if not hasattr(place, "repo_id"):
            return uri  # a bucket of the hub, which keeps no commits
        commit = retrying(lambda: _commit(fs.endpoint, place), f"looking for {uri}")
    except (FileNotFoundError, NotImplementedError) as fault:
        raise ValueError(f"model {uri!r} cannot be found: {_line(fault)}") from fault
    kind = {"dataset": "datasets/", "space": "spaces/"}.get(place.repo_type, "")
    return f"{_HUB}{kind}{place.repo_id}@{commit}/{place.path_in_repo}".rstrip("/")


def _commit(endpoint: str, place: Any) -> str:
    from huggingface_hub import HfApi

    facts = HfApi(endpoint=endpoint).repo_info(
        place.repo_id, repo_type=place.repo_type, revision=place.revision
    )
    if not facts.sha or not re.fullmatch(_COMMIT, facts.sha):
        raise ValueError(f"{place.repo_id}: the hub gives no commit for {place.revision!r}")
    return str(facts.sha)


def commit_of(uri: str) -> str | None:
    """The commit in an address that is `pinned`; None where there is none."""
    found = re.match(rf"{_HUB}((datasets|spaces)/)?[^/@]+/[^/@]+@({_COMMIT})(/|$)", uri)
    return found[3] if found else None


def list_folder(uri: str) -> dict[str, RemoteFile]:
    """The files of a folder and of the folders in it, by their names.

    Raises:
        ValueError: nothing is there.
        OSError: storage did not answer.
    """
    fs, path = split_uri(uri.rstrip("/"), tries=1)
    options = {"expand_info": True} if uri.startswith(_HUB) else {}
    try:
        found = retrying(lambda: fs.find(path, detail=True, **options), f"listing {uri}")
    except (FileNotFoundError, PermissionError) as fault:
        raise ValueError(f"model {uri!r} cannot be listed: {_line(fault)}") from fault
    files = {
        str(name)[len(path) + 1 :]: RemoteFile.of_listing(facts)
        for name, facts in found.items()
        if str(name).startswith(path + "/")
    }
    names = {name for name in files if re.fullmatch(r"[^/.][^/]*(/[^/.][^/]*)?", name)}
    if not names:
        raise ValueError(f"model {uri!r} holds no files; check the address and the endpoint")
    return {name: files[name] for name in sorted(names)}


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__


def fetch_folder(
    uri: str, files: Mapping[str, RemoteFile], only: Callable[[str], bool] = lambda _: True
) -> Path:
    """Bring files of a folder into the cache, those that are not there yet.

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
    # of the contents: a commit that changed other files brings nothing anew
    commit = commit_of(uri)
    where = uri.replace(f"@{commit}", "", 1) if commit else uri
    identity = hashlib.blake2b(where.encode(), digest_size=8)
    for name, file in files.items():
        identity.update(f"{name}:{file.size}:{file.mark}\0".encode())
    slug = re.sub(r"[^A-Za-z0-9]+", "-", where).strip("-")[-_SLUG_CHARACTERS:]
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
            stop = min(done + PIECE_BYTES, file.size)
            piece = _piece(fs, path, done, stop, uri)
            sink.write(piece)
            done += len(piece)
        sink.flush()
        os.fsync(sink.fileno())
    try:
        _check(part, file, uri)
    except ValueError:
        part.unlink()  # another try starts anew
        raise
    part.replace(target)


def _piece(fs: Any, path: str, start: int, stop: int, uri: str) -> bytes:
    # the hub's files would read ahead of what is asked for
    options = {"cache_type": "none"} if uri.startswith(_HUB) else {}
    data = retrying(
        lambda: bytes(fs.cat_file(path, start=start, end=stop, **options)), f"fetching {uri}"
    )
    if len(data) != stop - start:
        raise ValueError(
            f"{uri}: bytes {start} to {stop} came as {len(data)} bytes; the file changed while it "
            "was fetched: try again"
        )
    return data


def _check(part: Path, file: RemoteFile, uri: str) -> None:
    size = part.stat().st_size
    if size != file.size:
        raise ValueError(f"{uri}: {size} bytes came where {file.size} are listed; try again")
    for wanted, kind, start in (
        (file.sha256, "sha256", b""),
        (file.git_sha1, "sha1", b"blob %d\0" % size),
    ):
        if wanted is None:
            continue
        with part.open("rb") as source:
            digest = hashlib.new(kind, start, usedforsecurity=False)
            while block := source.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != wanted:
            raise ValueError(
                f"{uri}: its {kind} is {digest.hexdigest()}, listed is {wanted}; it was damaged "
                "or changed on the way: try again"
            )
