"""The terminal for tables and the live view, which prints text without markup or control codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from uniaudio2.shown import shown

_CELL_CHARACTERS = 10_000
_SEGMENT_CHARACTERS = 1 << 20


class Terminal(Console):
    """rich's console; markup in a text means nothing to it, and every text is `shown`.

    What rich itself writes to move the cursor goes through.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """The segments that are about to be written."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                text = shown(segment.text, _SEGMENT_CHARACTERS, keep="\n")
                yield Segment(text, segment.style)

    def show(self, *parts: RenderableType) -> None:
        """Write parts, each on lines of its own; lines are not broken at the terminal's width."""
        for part in parts or ("",):
            self.print(part, soft_wrap=True)


def cell(text: str) -> Text:
    """A text of a table or a line, `shown` before its width is taken."""
    return Text(shown(text, _CELL_CHARACTERS))
