"""Disks of other kinds, mounted for a test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def exfat(folder: Path, size: str = "64M") -> Iterator[Path]:
    """A disk of exFAT behind FUSE, which has no hard links and refuses many names."""
    for program in ("mkfs.exfat", "mount.exfat-fuse", "losetup"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: exfat-fuse, exfatprogs)")
    if os.getuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("mounting exFAT needs root and /dev/fuse")
    image, place = folder / "exfat.img", folder / "drive"
    place.mkdir()
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run(["mkfs.exfat", image], check=True, stdout=subprocess.DEVNULL)
    attach = ["losetup", "-f", "--show", str(image)]
    attached = subprocess.run(attach, capture_output=True, text=True)
    if attached.returncode:
        pytest.skip(f"no loop device: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    try:
        mounted = subprocess.run(
            ["mount.exfat-fuse", device, str(place)], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"exFAT cannot be mounted: {mounted.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
