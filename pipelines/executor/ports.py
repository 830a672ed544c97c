"""Which ports of this machine Ray's processes listen on, and for whom."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"  # the kernel's name of the state
_RAYS = ("gcs_server", "raylet", "ray::", "ray-dashboard", "dashboard")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Port:
    """A port that a process listens on.

    Attributes:
        process: its name.
        address: numeric; ``0.0.0.0`` and ``::`` are all interfaces.
        number: of the port.
    """

    process: str
    address: str
    number: int

    @property
    def is_open_to_others(self) -> bool:
        """Whether other machines may reach it."""
        return not ipaddress.ip_address(self.address).is_loopback


def ray_ports() -> list[Port]:
    """The ports of Ray's processes on this machine, as far as this user may see, and of this
    process; empty where the kernel does not tell."""
    inodes = dict(_listeners())
    found = []
    for folder in sorted(_PROC.glob("[0-9]*")):
        with suppress(OSError):
            title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            name = os.path.basename(title)
            if not name.startswith(_RAYS) and folder.name != str(os.getpid()):
                continue
            shown = "driver" if folder.name == str(os.getpid()) else name.split()[0]
            for file in (folder / "fd").iterdir():
                with suppress(OSError):
                    inode = str(file.readlink()).removeprefix("socket:[").rstrip("]")
                    if inode in inodes:
                        found.append(Port(shown, *inodes[inode]))
    return found


def _listeners() -> Iterator[tuple[str, tuple[str, int]]]:
    """Inode, address and port of every listening TCP socket."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    address, port = fields[1].split(":")
                    yield fields[9], (_numeric(address), int(port, 16))


def _numeric(words: str) -> str:
    """The kernel's address, 32-bit words in the order of this machine's bytes."""
    data = b"".join(
        bytes.fromhex(words[place : place + 8])[::-1] for place in range(0, len(words), 8)
    )
    return str(ipaddress.ip_address(data))
