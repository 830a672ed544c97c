"""How much of an INPUT is wanted, and what was noticed while it was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from uniaudio2.shown import quoted

LinkPolicy = Literal["follow", "refuse"]
_SHOWN_LINKS = 3
_REFUSE = "--set input.links=refuse makes them rows that fail"
# columns and their types are those of at least so much of a text manifest
LOOK_CHARACTERS = 1 << 20
# or at least so many cells, where short rows have many columns
LOOK_CELLS = 2_000_000


@dataclass
class Asked:
    """What a caller wants of an INPUT.

    Attributes:
        rows: how many rows suffice; None for all.
        links: whether links that lead out of a local INPUT are followed.
        characters: of text manifests that are read in any case, so that the columns of all but the
            largest do not depend on `rows`.
        cells: rows times columns after which no more characters are read.
        outside: how many links led out of INPUT.
        examples: some of them.
        unread: folders that could not be listed.
    """

    rows: int | None = None
    links: LinkPolicy = "follow"
    characters: int = LOOK_CHARACTERS
    cells: int = LOOK_CELLS
    outside: int = 0
    examples: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def suffices(self, rows: int, characters: int, cells: int = 0) -> bool:
        """Tell whether no more than so many rows, read from so many characters, are needed."""
        is_seen = characters >= self.characters or cells >= self.cells
        return self.rows is not None and rows >= self.rows and is_seen

    def take(self, rows: int, characters: int = 0, cells: int = 0) -> None:
        """Count what a source gave."""
        if self.rows is not None:
            self.rows = max(self.rows - rows, 0)
            self.characters = max(self.characters - characters, 0)
            self.cells = max(self.cells - cells, 0)

    def leads_out(self, name: str, target: str) -> None:
        """Count a link that leads out of INPUT."""
        self.outside += 1
        if len(self.examples) < _SHOWN_LINKS:
            self.examples.append(f"{quoted(name, 80)} to {quoted(target, 120)}")

    def notes(self) -> tuple[str, ...]:
        """What a user should know of INPUT, a line each."""
        notes = []
        if self.outside:
            done = "followed" if self.links == "follow" else "refused"
            more = " and others" if self.outside > len(self.examples) else ""
            notes.append(
                f"{self.outside} links lead out of INPUT and are {done}: "
                f"{', '.join(self.examples)}{more}"
                + (
                    "; --set input.links=refuse makes them rows that fail"
                    if done == "followed"
                    else ""
                )
            )
        if self.unread:
            notes.append(
                f"{len(self.unread)} folders of INPUT cannot be read, such as "
                f"{quoted(self.unread[0])}; what is in them is left out"
            )
        return tuple(notes)
