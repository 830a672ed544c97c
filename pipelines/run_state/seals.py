"""Whose OUTPUT it is: seals that only the user who wrote a record can make.

An OUTPUT may have been made by anyone, and every field in it can be copied. What a user's own runs
write is therefore sealed with a key that never leaves the user's state folder. A seal covers the
address of the OUTPUT too, so that a record that was copied from one place to another is not taken
for one's own there. What bears no such seal is a stranger's document: it is read, but nothing that
it names outside of OUTPUT is.

The key is ``uniaudio2/key`` in ``$XDG_STATE_HOME`` or ``~/.local/state``, readable by its user
alone. Where it cannot be kept, every process has a key of its own: what it writes is its own as
long as it lives.
"""

from __future__ import annotations

import functools
import hmac
import json
import os
import secrets
import stat
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.disks.exclusive_names import take_name
from actors.disks.user_state import state_path

_KEY_BYTES = 32


def key_path() -> Path | None:
    """Where the user's key is kept; None where there is no such place."""
    return state_path("key")


def user_key() -> bytes:
    """The user's key, made at its first use; where it cannot be kept, one of this process."""
    return _key(key_path(), os.getuid())


def key_fault() -> str:
    """Why the user's key cannot be kept, in words; "" where it is."""
    path = key_path()
    if path is None:
        return "this user has no home"
    try:
        _kept_key(path, os.getuid())
    except OSError as fault:
        return fault.strerror or str(fault)
    return ""


@functools.cache
def _key(path: Path | None, user: int) -> bytes:
    if path is not None:
        with suppress(OSError):
            return _kept_key(path, user)
    return secrets.token_bytes(_KEY_BYTES)


def _kept_key(path: Path, user: int) -> bytes:
    """Read the key, or make it.

    Raises:
        OSError: the place cannot be written, or what is there is no key of this user alone.
    """
    with suppress(FileNotFoundError):
        return _read_key(path, user)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # complete before it has its name: another process may read it in the same moment
    new = path.with_name(f"key.{uuid.uuid4().hex}.tmp")
    opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
        folder = os.open(path.parent, os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(FileExistsError):
                take_name(new.name, path.name, folder)
        finally:
            os.close(folder)
    finally:
        new.unlink(missing_ok=True)
    return _read_key(path, user)


def _read_key(path: Path, user: int) -> bytes:
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb") as file:
        facts = os.fstat(opened)
        private = stat.S_ISREG(facts.st_mode) and not facts.st_mode & 0o077
        text = file.read(2 * _KEY_BYTES + 1) if private and facts.st_uid == user else b""
    try:
        key = bytes.fromhex(text.decode())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise PermissionError(f"{path} is no key of this user alone")
    return key


def seal(facts: Mapping[str, Any], address: str) -> str:
    """The seal of facts at an address, as only this user can make it.

    Args:
        facts: what JSON can hold; the order of keys does not matter.
        address: of the OUTPUT that holds them.
    """
    text = json.dumps([address, facts], sort_keys=True, separators=(",", ":"))
    return hmac.digest(user_key(), text.encode(), "sha256").hex()


def is_sealed(facts: Mapping[str, Any], address: str, found: object) -> bool:
    """Whether `found` is the seal that this user makes of these facts at this address."""
    if not isinstance(found, str) or not found.isascii():
        return False
    return hmac.compare_digest(seal(facts, address), found)
