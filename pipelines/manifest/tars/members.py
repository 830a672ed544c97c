"""Members of archives: what they are called and where they lie; their contents stay in place."""

from __future__ import annotations

import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

import numpy as np

from actors.storage.fetch import byte_range

_BEYOND_BYTES = 1 << 20  # behind the end of a tar there are zeros up to the end of a record
_MOST_DIRECTORY_BYTES = 64 << 20  # of a zip, which is held; some 700,000 members
_ZIP_END = struct.Struct("<4sHHHHIIH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
Kind = Literal["file", "odd", "link", "folder"]
_FILES: tuple[Kind, ...] = ("file", "odd")


class DamagedArchive(Exception):
    """An archive that cannot be read on, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
        name: its path there.
        offset: of its first byte in the archive.
        size: of it in bytes.
        kind: of it; the bytes of an odd file cannot be read from where they lie.
    """

    name: str
    offset: int
    size: int
    kind: Kind = "file"


class UnreadableMember(Exception):
    """A member that cannot be read, in an archive that can."""


class Archive(Protocol):
    """An archive whose members can be read where they lie."""

    @property
    def odd(self) -> str:
        """What is wrong with odd files, and what to do about it."""
        ...

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
            UnreadableMember: this one is damaged.
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
        odd: what is wrong with members that are not stored as they are.
    """

    file: BinaryIO
    uri: str
    header_bytes: int = tarfile.BLOCKSIZE
    odd: str = "is a sparse member; pack the tar without --sparse"

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
    return "odd" if found.issparse() else "file"


class ZipArchive:
    """A zip, by the directory at its end.

    Args:
        file: its bytes, seekable.
        uri: its address.

    Raises:
        DamagedArchive: it is none, or has too many members to be read where it is.
    """

    header_bytes = 100  # about what the directory holds of a member
    odd = "is encrypted or packed in a way that is not read; unzip the archive"

    def __init__(self, file: BinaryIO, uri: str) -> None:
        self.uri = uri
        try:
            if _directory_bytes(file) > _MOST_DIRECTORY_BYTES:
                raise DamagedArchive(f"{uri} has too many members to be read where it is")
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
            raise DamagedArchive(f"{uri} is no whole zip; fetch it again") from error

    def members(self) -> Iterator[Member]:
        return brought_together(map(_zip_member, self._zip.infolist()))

    def read(self, member: Member, size: int) -> bytes:
        try:
            with self._zip.open(member.name) as stream:
                return stream.read(min(size, member.size))
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
            raise UnreadableMember("is damaged; fetch the zip again") from error

    def address(self, member: Member) -> str:
        packed = self._zip.getinfo(member.name).compress_size
        return byte_range(self.uri, member.offset, packed)


def _directory_bytes(file: BinaryIO) -> int:
    """Size of a zip's directory as its end tells it; that of a zip of more than 4 GiB is what lies
    before its end, at most."""
    size = file.seek(0, 2)
    file.seek(max(size - _ZIP_END.size - 0xFFFF, 0))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _ZIP_END.size:
        raise ValueError("no end of a directory")
    found = int(_ZIP_END.unpack_from(tail, at)[5])
    if found != 0xFFFFFFFF:
        return found
    at = tail.rfind(b"PK\6\6")  # of zip64, which has it at byte 40
    return int.from_bytes(tail[at + 40 : at + 48], "little") if at >= 0 else size


def _zip_member(found: zipfile.ZipInfo) -> Member:
    if found.is_dir():
        return Member(found.filename, 0, 0, "folder")
    is_read = found.compress_type in _METHODS and not found.flag_bits & 1
    is_link = found.create_system == 3 and stat.S_ISLNK(found.external_attr >> 16)
    kind: Kind = "link" if is_link else "file" if is_read else "odd"
    return Member(found.filename, found.header_offset, found.file_size, kind)


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
    of_key, of_suffix, offsets, sizes, odd = (array("q") for _ in range(5))
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
            odd.append(member.kind == "odd")
    except DamagedArchive as error:
        damage = error
    names, endings = list(keys), list(suffixes)
    order = np.argsort(np.frombuffer(of_key, np.int64), kind="stable") if of_key else ()
    for place in order:
        kind: Kind = "odd" if odd[place] else "file"
        name = names[of_key[place]] + endings[of_suffix[place]]
        yield Member(name, offsets[place], sizes[place], kind)
    if damage:
        raise damage
