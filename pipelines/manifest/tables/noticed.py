"""Collect what a user should know of an INPUT before it is run: files left out, links."""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.manifest.tables.packing import packing_of, without_packing
from uniaudio2.shown import listed, quoted, shown

HIDDEN = "hidden"
NO_SUFFIX = "without suffix"
_EXAMPLES = 3
_FILES = 12  # notes on how a file was understood
_LISTED = 8
_RECORDED = 50
_LONGEST_SUFFIX = 12
_LONGEST_SHOWN = 40


def suffix_of(name: str) -> str:
    """The suffix of a file's name, as files that are left out are counted by: ``.jpg``."""
    base = posixpath.basename(name).lower()
    suffix = posixpath.splitext(without_packing(base))[1] + packing_of(base)
    # behind the last dot of a long name there may be anything
    return suffix if 1 < len(suffix) <= _LONGEST_SUFFIX and " " not in suffix else NO_SUFFIX


@dataclass(frozen=True)
class LeftOut:
    """Files of an INPUT that give no row.

    Attributes:
        what: they are, ``"files"`` or ``"tar members"``.
        why: they give none, and what would read them.
        kinds: how many there are of each suffix.
    """

    what: str
    why: str
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Number of files."""
        return self.kinds.total()

    def __str__(self) -> str:
        some = [
            f"{count} {shown(kind, _LONGEST_SHOWN)}" for kind, count in self._most(_LISTED).items()
        ]
        what = self.what.removesuffix("s") if self.count == 1 else self.what
        return f"{self.count} {what} left out ({', '.join(some)}): {self.why}"

    @staticmethod
    def of_record(facts: Mapping[str, Any]) -> LeftOut:
        """Undo `record`."""
        return LeftOut(facts["what"], facts["why"], Counter(facts["by_suffix"]))

    def record(self) -> dict[str, Any]:
        """All of it for ``run.json``; of the rarest suffixes the sum alone."""
        by_suffix = self._most(_RECORDED)
        return {"what": self.what, "count": self.count, "by_suffix": by_suffix, "why": self.why}

    def _most(self, most: int) -> dict[str, int]:
        """The suffixes that occur most, and the sum of all others."""
        ranked = sorted(self.kinds.items(), key=lambda item: (-item[1], item[0]))
        others = sum(count for _, count in ranked[most:])
        return dict(ranked[:most]) | ({"others": others} if others else {})


@dataclass
class Noticed:
    """Notes are taken while an INPUT is read.

    Attributes:
        links_out: how many links lead out of INPUT.
        links_refused: they are not followed.
        unread_folders: that could not be listed.
        around: links to folders that hold INPUT itself.
        left_out: files that give no row.
        keyed: columns of JSON objects whose keys are data.
        found: how files were understood, where that is not what their suffixes say.
        doubts: by columns that are needed, why no other one serves.
    """

    links_out: int = 0
    links_refused: bool = False
    unread_folders: list[str] = field(default_factory=list)
    around: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    keyed: set[str] = field(default_factory=set)
    doubts: dict[str, str] = field(default_factory=dict)
    _links: list[str] = field(default_factory=list)
    _unread: dict[str, set[str]] = field(default_factory=dict)

    def link_out(self, name: str, target: str) -> None:
        """Count a link that leads out of INPUT."""
        self.links_out += 1
        if len(self._links) < _EXAMPLES:
            self._links.append(f"{quoted(name, 80)} to {quoted(target, 120)}")

    def leave_out(self, what: str, kinds: Iterable[str] | Mapping[str, int], why: str) -> None:
        """Count files that give no row.

        Args:
            what: they are, in the plural.
            kinds: the suffix of each, or how many there are of each suffix.
            why: they give none, and what would read them.
        """
        counted = Counter(kinds)
        if not counted:
            return
        for known in self.left_out:
            if (known.what, known.why) == (what, why):
                known.kinds.update(counted)
                return
        self.left_out.append(LeftOut(what, why, counted))

    def understood(self, file: str, how: str) -> None:
        """Note how a file was understood.

        Args:
            file: its address.
            how: a sentence without a subject.
        """
        self.found.append(f"{quoted(posixpath.basename(file) or 'INPUT', 80)} {how}")

    def doubt(self, column: str, why: str) -> None:
        """Note why no other column serves as one that is needed; the first reason is kept."""
        self.doubts.setdefault(column, why)

    def unread(self, of: str, names: Iterable[str]) -> None:
        """Note fields of a format that no row takes up.

        Args:
            of: what they are fields of, such as ``"Lhotse cuts"``.
            names: of the fields.
        """
        if names := set(names):
            self._unread.setdefault(of, set()).update(names)

    def take(self, other: Noticed) -> None:
        """Take in what was noticed of a file that was read beside others."""
        for left_out in other.left_out:
            self.leave_out(left_out.what, left_out.kinds, left_out.why)
        self.found += other.found
        self.keyed |= other.keyed
        for column, why in other.doubts.items():
            self.doubt(column, why)

    def text(self) -> str:
        """What is noticed of one archive as JSON: all that `take` takes in."""
        left_out = [[one.what, one.why, dict(one.kinds)] for one in self.left_out]
        return json.dumps([left_out, self.found, sorted(self.keyed), self.doubts])

    @staticmethod
    def of_text(text: str) -> Noticed:
        """Undo `text`."""
        left_out, found, keyed, doubts = json.loads(text)
        noticed = Noticed(found=found, keyed={*keyed}, doubts=doubts)
        for what, why, kinds in left_out:
            noticed.leave_out(what, kinds, why)
        return noticed

    def notes(self) -> tuple[str, ...]:
        """All but what is left out, a line each."""
        notes = [*self.found[:_FILES]]
        if len(self.found) > _FILES:
            notes.append(f"and {len(self.found) - _FILES} more notes of this kind on other files")
        if self.keyed:
            notes.append(
                f"columns whose objects have ever other keys stay text (JSON): "
                f"{listed(sorted(self.keyed), _LISTED)}"
            )
        notes += self.doubts.values()
        if self.links_out:
            more = " and others" if self.links_out > len(self._links) else ""
            done, remedy = "refused", ""
            if not self.links_refused:
                done, remedy = "followed", "; --set input.links=refuse makes them rows that fail"
            notes.append(
                f"{self.links_out} links lead out of INPUT and are {done}: "
                f"{', '.join(self._links)}{more}{remedy}"
            )
        if self.around:
            notes.append(
                f"{len(self.around)} links, such as {quoted(self.around[0], 80)}, lead to folders "
                "that hold INPUT itself; nothing is read through them: name such a folder as INPUT"
            )
        if self.unread_folders:
            notes.append(
                f"{len(self.unread_folders)} folders of INPUT cannot be read, such as "
                f"{quoted(self.unread_folders[0])}; what is in them is left out"
            )
        for of, names in self._unread.items():
            notes.append(f"not used of {of}: {listed(sorted(names), _LISTED)}")
        return tuple(notes)
