"""Files of a local folder, through links, and which of them lie elsewhere.

People's corpora are often folders of links, so links are followed; where they lead out of the
folder, the plan says so, and whoever does not know a folder's author can refuse them.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.manifest.tables.asked import Asked
from uniaudio2.shown import quoted

_CONTENT_NAME = re.compile(r"[0-9a-f]{32,}")  # a cache that names files by what is in them
_REMEDY = "--set input.links=follow reads it"


@dataclass
class Listing:
    """Files of a folder by their names inside it, sorted.

    Attributes:
        names: all but hidden ones.
        outside: names that are links out of the folder, and what they lead to.
        refused: names of links that are not followed; a folder's ends in a slash.
    """

    names: list[str]
    outside: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def fault(self, name: str, is_text: bool = False) -> str | None:
        """Why a file is not read; None where it may be.

        Args:
            name: of a file.
            is_text: a link must lead to a file of the same kind of name: any file can be read as
                text, and what is in it would be taken for rows.
        """
        target = self.outside.get(name)
        if name in self.refused:
            return f"{quoted(name)} is a link that leads out of INPUT; {_REMEDY}"
        if is_text and target is not None and not _is_alike(name, target):
            return (
                f"{quoted(name)} is a link out of INPUT to a file of another kind of name; "
                "copy the file into the folder"
            )
        return None

    def folders(self) -> Iterator[tuple[str, str]]:
        """Linked folders that are not followed, and why."""
        for name in sorted(self.refused):
            if name.endswith("/"):
                yield name, f"{quoted(name)} is a link that leads out of INPUT; {_REMEDY}"


def is_hidden(name: str) -> bool:
    """Tell whether a file of a folder is none of the user's: caches, what macOS puts beside it."""
    return any(part.startswith(".") for part in name.split("/"))


def list_folder(root: str, asked: Asked) -> Listing:
    """All files of a local folder and of folders that it links to.

    A folder is listed once: under its own name where it lies in the folder, else under the first
    link that leads to it. What holds the folder itself is a circle and not listed.
    """
    walk = _Walk(os.path.realpath(root), asked)
    walk.scan(root, "", walk.root)
    while walk.linked:
        name, target = walk.linked.pop(0)
        if target in walk.seen or is_inside(walk.root, target):
            continue
        if not is_inside(target, walk.root) and walk.leads_out(f"{name}/", target):
            continue
        walk.scan(f"{root}/{name}", f"{name}/", target)
    walk.found.names.sort()
    return walk.found


def check_files(root: str, names: list[str], asked: Asked) -> Listing:
    """Some files below a local folder, as `list_folder` lists them."""
    walk = _Walk(os.path.realpath(root), asked)
    for name in names:
        walk.file(f"{root}/{name}", name)
    return walk.found


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a real path is a real folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_alike(name: str, target: str) -> bool:
    one, other = posixpath.basename(name), posixpath.basename(target)
    suffix = posixpath.splitext(one.removesuffix(".gz"))[1]
    return (
        one == other
        or bool(suffix and suffix == posixpath.splitext(other.removesuffix(".gz"))[1])
        or _CONTENT_NAME.fullmatch(other) is not None
    )


class _Walk:
    def __init__(self, root: str, asked: Asked) -> None:
        self.root, self.asked = root, asked
        self.found = Listing([])
        self.seen: set[str] = set()
        self.linked: list[tuple[str, str]] = []

    def scan(self, path: str, name: str, real: str) -> None:
        """List a folder and those in it; links to folders wait in `linked`."""
        waiting = [(path, name, real)]
        found: list[tuple[str, str]] = []
        while waiting:
            path, name, real = waiting.pop()
            if real in self.seen:
                continue
            self.seen.add(real)
            try:
                entries = list(os.scandir(path))
            except OSError:
                self.asked.unread.append(path)
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                inner = name + entry.name
                if entry.is_symlink():
                    self._link(entry.path, inner, found)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{inner}/", f"{real}/{entry.name}"))
                else:
                    self.found.names.append(inner)
        self.linked = [*self.linked, *sorted(found)]

    def _link(self, path: str, name: str, folders: list[tuple[str, str]]) -> None:
        if os.path.isdir(path):
            folders.append((name, os.path.realpath(path)))
        else:
            self.found.names.append(name)
            self.file(path, name)

    def file(self, path: str, name: str) -> None:
        """Note where a file lies, if elsewhere."""
        target = os.path.realpath(path)
        if not is_inside(target, self.root):
            self.leads_out(name, target)

    def leads_out(self, name: str, target: str) -> bool:
        """Note a link; tells whether it is refused."""
        self.asked.leads_out(name, target)
        self.found.outside[name] = target
        if self.asked.links == "refuse":
            self.found.refused.add(name)
        return self.asked.links == "refuse"
