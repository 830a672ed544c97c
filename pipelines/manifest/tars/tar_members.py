"""The members of a tar by their names, as addresses that rows can have: nothing is unpacked."""

from __future__ import annotations

import tarfile
from typing import BinaryIO

from actors.storage.fetch import byte_range


def tar_members(file: BinaryIO, uri: str) -> dict[str, str]:
    """Addresses of a tar's files by their names in it, from their headers alone.

    Args:
        file: the tar, seekable.
        uri: its address.

    Returns:
        those before the place where the tar is damaged, if it is; of two files with one name the
        first. Files that lie in it in a way that only unpacking undoes are left out.
    """
    members: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
                if member.isfile() and not member.issparse():
                    address = byte_range(uri, member.offset_data, member.size)
                    members.setdefault(member.name.removeprefix("./"), address)
    except (tarfile.TarError, EOFError, OSError):
        pass  # rows that name what follows fail by name
    return members
