"""A model in a repository of the Hugging Face Hub: at one commit, in a cache of this node.

Listing, downloading and the layout of the cache are those of `huggingface_hub`. It compares sizes
alone of what comes over plain HTTP, so hashes are compared here, once a file.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

from actors.storage.file_systems import retrying

if TYPE_CHECKING:  # a worker starts with what it needs alone
    from huggingface_hub import HfApi, HfUri

_T = TypeVar("_T")
_HASHES = {40: ("sha1", b"blob %d\0"), 64: ("sha256", b"")}  # by digits: git's, of large files


def cache_folder() -> Path:
    """Where models are kept: ``UNIAUDIO2_CACHE``, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("UNIAUDIO2_CACHE") or Path(base) / "uniaudio2")


def commit_of(uri: str) -> str | None:
    """The commit in an address that is `pinned`; None where there is none."""
    found = re.match(r"hf://((datasets|spaces)/)?[^/@]+/[^/@]+@([0-9a-f]{40})(/|$)", uri)
    return found[3] if found else None


def pinned(uri: str) -> str:
    """The address of a folder as it is now: on a hub, with the commit that its revision names.

    Args:
        uri: ``hf://ORG/NAME@REVISION/FOLDER`` takes a branch, a tag or a commit; without a revision
            the default branch is meant. Every other address comes back as it is. Where the hub
            cannot be reached, what the cache knows of the revision is taken.

    Raises:
        ValueError: no such repository or revision.
        OSError: the hub did not answer.
    """
    if not uri.startswith("hf://") or commit_of(uri):
        return uri
    place, hub = _place(uri), _hub()
    if place.is_bucket:  # which keeps no commits
        return uri
    options: dict[str, Any] = {"repo_type": place.type, "revision": place.revision}
    found = _asked(uri, lambda: hub.resolve_revision(place.id, cache_dir=_cache(), **options))
    return replace(place, revision=found.resolved).to_uri().replace("hf://models/", "hf://", 1)


def hub_files(uri: str) -> dict[str, int]:
    """Names and sizes in bytes of the files of a `pinned` folder, from the cache where it has them.

    Raises:
        ValueError: no such repository or commit.
        OSError: the hub did not answer.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    place, hub = _place(uri), _hub()
    options: dict[str, Any] = {"repo_type": place.type, "revision": place.revision}
    try:
        found: Collection[Any] = get_cached_repo_tree(place.id, cache_dir=_cache(), **options)
    except CachedRepoTreeNotFoundError:
        found = _asked(uri, lambda: list(hub.list_repo_tree(place.id, recursive=True, **options)))
    files = {entry.path: entry.size for entry in found if hasattr(entry, "size")}
    begin = _begin(place)
    return {path[len(begin) :]: size for path, size in files.items() if path.startswith(begin)}


def hub_folder(uri: str, names: Collection[str]) -> Path:
    """The folder of a `pinned` address, with the named files in it.

    Other processes of this node wait for the one that fetches. Files that were whole before a stop
    are not fetched again.

    Raises:
        ValueError: what came is not what the hub lists; the same call fetches it again.
        OSError: the hub did not answer, or the disk is full; the same call goes on.
    """
    place, hub, cache = _place(uri), _hub(), _cache()
    options: dict[str, Any] = {"repo_type": place.type, "revision": place.revision}
    options |= {"cache_dir": cache, "tqdm_class": _silent()}
    inner = [_begin(place) + name for name in names]
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        for left in cache.glob("*/blobs/*.incomplete"):  # by processes that were killed
            left.unlink()
        # one by one in this thread: a snapshot's threads end a file before they heed Ctrl-C
        for name in inner:
            _asked(uri, partial(hub.hf_hub_download, place.id, name, **options))
        options["allow_patterns"] = list(map(glob.escape, inner))
        folder = Path(_asked(uri, partial(hub.snapshot_download, place.id, **options)))
        for name in inner:
            _check(folder / name, f"{uri}: {name}", cache / "checked")
    return folder / place.path_in_repo


def _check(file: Path, what: str, checked: Path) -> None:
    """Compare a file with the hash by which the cache names it; what differs is removed."""
    blob = file.resolve()
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob.name) or (checked / blob.name).exists():
        return
    kind, begin = _HASHES[len(blob.name)]
    digest = hashlib.new(kind, begin and begin % blob.stat().st_size, usedforsecurity=False)
    with blob.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != blob.name:
        file.unlink()
        blob.unlink(missing_ok=True)
        raise ValueError(
            f"{what}: its {kind} is {digest.hexdigest()}, listed is {blob.name}; it was damaged "
            "or changed on the way: try again"
        )
    checked.mkdir(exist_ok=True)
    (checked / blob.name).touch()


def _asked(uri: str, action: Callable[[], _T]) -> _T:
    """What the hub answers; the faults are those of `pinned`, in one line."""
    from huggingface_hub import errors

    def once() -> _T:
        try:
            return action()
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as fault:
            raise ValueError(
                f"model {uri!r} cannot be found: {_line(fault, 2)}; check the address and HF_TOKEN"
            ) from fault
        except (
            errors.HfHubHTTPError,
            errors.LocalEntryNotFoundError,
            errors.OfflineModeIsEnabled,
            errors.RevisionResolutionError,
        ) as fault:
            reason = fault.__cause__ or fault
            if isinstance(reason, errors.OfflineModeIsEnabled):
                raise ValueError(
                    f"model {uri!r} is not in the cache, and HF_HUB_OFFLINE is set: unset it once"
                ) from fault
            raise ConnectionError(_line(reason)) from fault

    return retrying(once, f"fetching {uri}")


def _line(fault: BaseException, first: int = 1) -> str:
    return " ".join(str(fault).split("\n")[:first]) or type(fault).__name__


def _cache() -> Path:
    return cache_folder() / "hub"


def _place(uri: str) -> HfUri:
    from huggingface_hub import parse_hf_uri

    return parse_hf_uri(uri.rstrip("/"))


def _begin(place: HfUri) -> str:
    return f"{place.path_in_repo}/" if place.path_in_repo else ""


def _hub() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _silent() -> type[Any]:
    """A progress bar that shows nothing: the terminal is the pipeline's."""
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "disable": True})  # type: ignore[no-untyped-call]

    return Silent
