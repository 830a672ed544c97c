"""Markdown pages of this repository: their sections, tables and words in code type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def sections(path: Path) -> dict[str, str]:
    """What stands below each heading of a page, up to the next heading of any level."""
    _, *rest = _HEADING.split(path.read_text())
    return dict(zip(rest[::2], rest[1::2], strict=True))


def table_rows(text: str) -> list[list[str]]:
    """Cells of the first table in a text, without its head."""
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        cells = line.replace(r"\|", "\0").strip().strip("|").split("|")
        table.append([cell.strip().replace("\0", "|") for cell in cells])
    return table[2:]


def headings(path: Path) -> list[str]:
    """Titles of a page's headings; what stands in code blocks is none."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return _HEADING.findall(text)


def anchor(title: str) -> str:
    """What a link to a heading ends with, on GitHub and in the built pages."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
