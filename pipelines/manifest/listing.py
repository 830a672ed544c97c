"""Files of a folder, through the links of a local one, and which of them lie elsewhere.

People's corpora are often folders of links, so links are followed; where they lead out of the
folder, the plan says so, and whoever does not know a folder's author can refuse them.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.manifest.tables.noticed import suffix_of
from pipelines.manifest.tables.packing import without_packing
from pipelines.manifest.tables.scan import Scan
from uniaudio2.shown import quoted

_CONTENT_NAME = re.compile(r"[0-9a-f]{32,}")  # a cache that names files by what is in them
_MARK = ".hoodie/"
_REMEDY = "--set input.links=follow reads it"


@dataclass
class Listing:
    """Files of a folder by their names inside it, sorted.

    Attributes:
        names: all but hidden ones.
        outside: names that are links out of the folder, and what they lead to.
        refused: names of links that are not followed; a folder's ends in a slash.
        broken: names of links that lead to nothing.
        marks: hidden folders by which an engine knows its tables, ending in a slash.
        facts: size and ETag of files by their names, where a store's listing tells them.
        hidden: how many files and folders are hidden; what is in such a folder is not looked at.
    """

    names: list[str]
    outside: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    hidden: int = 0
    marks: set[str] = field(default_factory=set)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def left_out(self, taken: Iterable[str]) -> Counter[str]:
        """Count the files that are left out, by suffix.

        Args:
            taken: names of the files that are read.
        """
        others = set(self.names).difference(taken)
        return Counter(
            "links to nothing" if name in self.broken else suffix_of(name) for name in others
        )

    def fault(self, name: str, is_text: bool = False) -> str | None:
        """The reason why a file is not read; None where it may be.

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


def list_remote(fs: Any, path: str) -> Listing:
    """All files below a prefix of a store, `fs` its file system."""
    inside = len(path.rstrip("/")) + 1
    found = fs.find(path, detail=True) if tells_all(fs) else {key: {} for key in fs.find(path)}
    facts = {str(name)[inside:]: listed_facts(facts) for name, facts in found.items()}
    names = sorted(facts)
    # some tools mark a folder by an object whose name ends in a slash
    names = [name for name in names if name and not name.endswith("/")]
    visible = [name for name in names if not is_hidden(name)]
    marks = {f"{name.partition(_MARK)[0]}{_MARK}" for name in names if f"/{_MARK}" in f"/{name}"}
    facts = {name: facts[name] for name in visible if facts[name]}
    return Listing(visible, hidden=len(names) - len(visible), marks=marks, facts=facts)


def tells_all(fs: Any) -> bool:
    """Whether a store's listings say of each file what asking for it would."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "s3" in protocols


def listed_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a file's state in a listing; {} where it does not."""
    names = ("size", "ETag")
    is_told = all(facts.get(name) is not None for name in names)
    return {name: facts[name] for name in names} if is_told else {}


def list_folder(root: str, scan: Scan) -> Listing:
    """All files of a local folder and of folders that it links to.

    A folder is listed once: under its own name where it lies in the folder, else under the first
    link that leads to it. What holds the folder itself is a circle and not listed.
    """
    walk = _Walk(os.path.realpath(root), scan)
    walk.folder(root, "", walk.root)
    while walk.linked:
        name, target = walk.linked.pop(0)
        if target in walk.seen:
            continue
        if is_inside(walk.root, target):
            scan.noticed.around.append(f"{name}/")
            continue
        if not is_inside(target, walk.root) and walk.leads_out(f"{name}/", target):
            continue
        walk.folder(f"{root}/{name}", f"{name}/", target)
    walk.found.names.sort()
    return walk.found


def check_files(root: str, names: list[str], scan: Scan) -> Listing:
    """Some files below a local folder, as `list_folder` lists them."""
    walk = _Walk(os.path.realpath(root), scan)
    for name in names:
        walk.file(f"{root}/{name}", name)
    return walk.found


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a real path is a real folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_alike(name: str, target: str) -> bool:
    one, other = posixpath.basename(name), posixpath.basename(target)
    suffix = posixpath.splitext(without_packing(one))[1]
    return (
        one == other
        or bool(suffix and suffix == posixpath.splitext(without_packing(other))[1])
        or _CONTENT_NAME.fullmatch(other) is not None
    )


class _Walk:
    def __init__(self, root: str, scan: Scan) -> None:
        self.root, self.links, self.noticed = root, scan.links, scan.noticed
        self.found = Listing([])
        self.seen: set[str] = set()
        self.linked: list[tuple[str, str]] = []

    def folder(self, path: str, name: str, real: str) -> None:
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
                self.noticed.unread_folders.append(path)
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    self.found.hidden += 1
                    if entry.name == _MARK[:-1]:
                        self.found.marks.add(name + _MARK)
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
            if not os.path.exists(path):
                self.found.broken.add(name)
            self.file(path, name)

    def file(self, path: str, name: str) -> None:
        """Note where a file lies, if elsewhere."""
        target = os.path.realpath(path)
        if not is_inside(target, self.root):
            self.leads_out(name, target)

    def leads_out(self, name: str, target: str) -> bool:
        """Note a link; tells whether it is refused."""
        self.noticed.link_out(name, target)
        self.found.outside[name] = target
        if self.links == "refuse":
            self.noticed.links_refused = True
            self.found.refused.add(name)
        return self.links == "refuse"
