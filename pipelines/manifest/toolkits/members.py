"""Members of archives: what they are called and where they lie; their contents stay in place."""

from __future__ import annotations

import posixpath
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

import numpy as np

from actors.storage.fetch import byte_range

_BEYOND_BYTES = 1 << 20  # behind the end of a tar there are zeros up to the end of a record
Kind = Literal["file", "sparse", "link", "folder"]
_FILES: tuple[Kind, ...] = ("file", "sparse")


class DamagedArchive(Exception):
    """An archive that cannot be read on, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
        name: its path there.
        offset: of its first byte in the archive.
        size: of it in bytes.
        kind: whether its bytes lie there in a row.
    """

    name: str
    offset: int
    size: int
    kind: Kind = "file"


class Archive(Protocol):
    """An archive whose members can be read where they lie."""

    @property
    def header_bytes(self) -> int:
        """Size of what stands before a member."""
        ...

    def members(self) -> Iterator[Member]:
        """Its members, in its order, from the first.

        Raises:
            DamagedArchive: it cannot be read on.
        """
        ...

    def read(self, member: Member, size: int) -> bytes:
        """The first bytes of a member, or all of a smaller one.

        Raises:
            DamagedArchive: it is cut short there.
        """
        ...

    def address(self, member: Member) -> str:
        """What a row names the member by, as `fetch` takes it."""
        ...


def split_name(name: str) -> tuple[str, str, str]:
    """Key, part and ending of a member: the file name is cut at its first and its last dot.

    ``a/b.left.wav`` is the ending ``.wav`` of the part ``.left`` of ``a/b``; most have no part.
    """
    folder, file = posixpath.split(name)
    stem, dot, extension = file.partition(".")
    part, _, ending = (dot + extension).rpartition(".")
    return posixpath.join(folder, stem), part, (dot + ending).lower()


@dataclass(frozen=True)
class TarArchive:
    """A tar that is not packed.

    Attributes:
        file: its bytes, seekable.
        uri: its address.
        header_bytes: of a member.
    """

    file: BinaryIO
    uri: str
    header_bytes: int = tarfile.BLOCKSIZE

    def members(self) -> Iterator[Member]:
        self.file.seek(0)
        try:
            with tarfile.open(fileobj=self.file, mode="r:") as tar:
                for found in tar:
                    tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
                    yield Member(found.name, found.offset_data, found.size, _kind(found))
                self._require_end(tar.offset)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DamagedArchive(
                f"{self.uri} cannot be read on: {error}; fetch it again"
            ) from error

    def _require_end(self, offset: int) -> None:
        self.file.seek(offset)
        if self.file.read(_BEYOND_BYTES).strip(b"\0"):
            raise DamagedArchive(
                f"{self.uri} goes on behind its end, as tars that were joined by `cat` do; "
                "join them by `tar -A`, or name each"
            )

    def read(self, member: Member, size: int) -> bytes:
        self.file.seek(member.offset)
        wanted = min(size, member.size)
        data = self.file.read(wanted)
        if len(data) < wanted:
            raise DamagedArchive(f"{self.uri} cannot be read on: it is cut short; fetch it again")
        return data

    def address(self, member: Member) -> str:
        return byte_range(self.uri, member.offset, member.size)


def _kind(found: tarfile.TarInfo) -> Kind:
    if found.isdir():
        return "folder"
    if not found.isfile():
        return "link"
    # a few bytes may stand for any number, and they are not where others are
    return "sparse" if found.issparse() else "file"


def lie_apart(members: Iterator[Member]) -> bool:
    """Tell whether members of one key have members of another between them.

    Raises:
        DamagedArchive: it cannot be read on, and so far none do.
    """
    seen: set[int] = set()
    last = ""
    for member in members:
        key = split_name(member.name)[0]
        if member.kind in _FILES and key != last:
            if hash(key) in seen:
                return True
            seen.add(hash(key))
            last = key
    return False


def brought_together(members: Iterator[Member]) -> Iterator[Member]:
    """Members with those of one key in a row, keys in the order of their first members.

    A key is held once and a member by four numbers, whatever the members hold.

    Raises:
        DamagedArchive: the archive cannot be read on, after all that could be.
    """
    keys: dict[str, int] = {}
    suffixes: dict[str, int] = {}
    of_key, of_suffix, offsets, sizes, sparse = (array("q") for _ in range(5))
    damage: DamagedArchive | None = None
    try:
        for member in members:
            if member.kind not in _FILES:
                yield member
                continue
            key = split_name(member.name)[0]
            of_key.append(keys.setdefault(key, len(keys)))
            suffix = member.name[len(key) :]
            of_suffix.append(suffixes.setdefault(suffix, len(suffixes)))
            offsets.append(member.offset)
            sizes.append(member.size)
            sparse.append(member.kind == "sparse")
    except DamagedArchive as error:
        damage = error
    names, endings = list(keys), list(suffixes)
    order = np.argsort(np.frombuffer(of_key, np.int64), kind="stable") if of_key else ()
    for place in order:
        kind: Kind = "sparse" if sparse[place] else "file"
        name = names[of_key[place]] + endings[of_suffix[place]]
        yield Member(name, offsets[place], sizes[place], kind)
    if damage:
        raise damage
