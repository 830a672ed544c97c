"""Objects of a JSON array, or of JSON that is spread over lines, a block in memory at a time.

The file may be of any size and on one line. An object that is none costs its row where the next
one begins on a line of its own; where that cannot be told, nothing of the file is believed.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from pipelines.manifest.tables.text_lines import MAX_LINE_CHARACTERS

MOST_VALUES = 12_000_000
LONG_CHARACTERS = 1 << 20
_BEGINS = re.compile(r'\ufeff?\s*(\[\s*\{|\{[ \t]*\r?\n\s*")')
_BETWEEN = re.compile(r"[\s,\[\]]*")
_NEXT = re.compile(r"\}\s*,\s*\{")
_MARGIN = 64  # of a place that is looked for, where a block ends in it
_NEAR_THE_END = 12  # the longest word or escape of JSON that may be cut
_REMEDY = "write one object a line, as `jq -c '.[]'` does"


class BrokenObject(str):
    """What is wrong with an object."""


def is_spread(start: str) -> bool:
    """Tell an array of objects, or objects over several lines, from one object a line.

    Args:
        start: of the file.
    """
    return _BEGINS.match(start) is not None


def has_too_many_values(text: str) -> bool:
    """Tell whether JSON would take many times its size as values."""
    return len(text) > LONG_CHARACTERS and sum(map(text.count, ",[{")) > MOST_VALUES


def spread_objects(texts: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Values by the line that they begin on; a `BrokenObject` for one that is none.

    Args:
        texts: of the file, block by block.

    Raises:
        ValueError: one is broken, and where the next begins cannot be told.
    """
    return iter(_Objects(texts))


def objects_of(texts: Iterator[str], key: str) -> Iterator[tuple[int, Any]]:
    """Values of the array that one large JSON object holds under a key; see `spread_objects`.

    Args:
        texts: of the file, block by block.
        key: of the array, near the beginning of the file.

    Raises:
        ValueError: there is no such array; else as `spread_objects`.
    """
    begins = re.compile(rf'"{re.escape(key)}"\s*:\s*\[')
    head = ""
    for text in texts:
        head += text
        if found := begins.search(head):
            break
        if len(head) > LONG_CHARACTERS:
            break
    else:
        found = None
    if found is None:
        raise ValueError(f"it begins with no array {key!r}; fetch the file again")
    line = 1 + head.count("\n", 0, found.end())
    values = _Objects(itertools.chain([head[found.end() :]], texts), line, is_inside=True)
    value: Any = None
    for number, value in values:
        yield number, value
    if not values.is_closed and not isinstance(value, BrokenObject):
        yield values.line, BrokenObject("the file ends before its array does; fetch it again")


class _Objects:
    """Values of an array.

    Args:
        texts: of the file, block by block.
        line: that they begin in.
        is_inside: the array is inside of an object; what follows it is not read.

    Attributes:
        is_closed: the end of the array was met.
    """

    def __init__(self, texts: Iterator[str], line: int = 1, is_inside: bool = False) -> None:
        self._texts = texts
        self._text, self._at, self._line = "", 0, line
        self._is_inside, self.is_closed = is_inside, False
        self._is_ended = False
        self._indent: str | None = ""  # before the value; None where it begins inside of a line
        self._decode = json.JSONDecoder().raw_decode

    @property
    def line(self) -> int:
        """The line that was read last."""
        return self._line

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        while self._reach():
            line = self._line
            try:
                value, end = self._decode(self._text, self._at)
            except RecursionError:
                yield line, self._broken("nested too deeply")
            except json.JSONDecodeError as fault:
                is_cut = self._may_be_cut(fault)
                if not is_cut:
                    yield line, self._broken(fault.msg)
                elif self._is_ended:
                    self._move(len(self._text))
                    yield line, BrokenObject("the file ends inside of it; fetch or write it again")
                elif self._is_too_long():
                    yield line, self._broken(f"longer than {MAX_LINE_CHARACTERS} characters")
                else:
                    self._read()
            else:
                if end == len(self._text) and not self._is_ended:
                    self._read()  # a number may go on
                    continue
                self._move(end)
                self._indent = None
                yield line, value

    def _reach(self) -> bool:
        """Go to the next value; False at the end."""
        while True:
            found = _BETWEEN.match(self._text, self._at)
            between = found[0] if found else ""
            if self._is_inside and "]" in between:
                self.is_closed = True
                return False
            if "\n" in between:
                self._indent = between.rpartition("\n")[2].rstrip(",[")
            self._move(self._at + len(between))
            if self._at < len(self._text):
                return True
            if self._is_ended:
                return False
            self._read()

    def _move(self, at: int) -> None:
        self._line += self._text.count("\n", self._at, at)
        self._at = at

    def _read(self) -> None:
        """Take in about as much as is there, so that a long value is decoded few times."""
        kept = self._text[self._at :]
        more: list[str] = []
        length = 0
        for block in self._texts:
            more.append(block)
            length += len(block)
            if length and length >= len(kept):
                break
        else:
            self._is_ended = True
        self._text, self._at = "".join(itertools.chain([kept], more)), 0

    def _may_be_cut(self, fault: json.JSONDecodeError) -> bool:
        """Tell whether the value is perhaps whole with what follows."""
        is_open = fault.msg.startswith("Unterminated string")
        return is_open or fault.pos >= len(self._text) - _NEAR_THE_END

    def _is_too_long(self) -> bool:
        length = len(self._text) - self._at
        return length > MAX_LINE_CHARACTERS or (
            length > LONG_CHARACTERS and has_too_many_values(self._text[self._at :])
        )

    def _broken(self, why: str) -> BrokenObject:
        """Go to the next value that begins a line as this one did.

        Raises:
            ValueError: there is none that begins a line, but others there are.
        """
        line, are_more = self._line, self._indent is None
        if self._indent is not None:
            begins = re.compile(rf"\n{re.escape(self._indent)}(?:,[ \t]*)?\{{")
            while not (found := begins.search(self._text, self._at)) and not self._is_ended:
                are_more |= _NEXT.search(self._text, self._at) is not None
                self._move(max(len(self._text) - len(self._indent) - _MARGIN, self._at))
                self._read()
            if found:
                self._move(found.start())
                return BrokenObject(why)
            are_more |= _NEXT.search(self._text, self._at) is not None
        if are_more:
            raise ValueError(
                f"line {line}: what begins there is no JSON object ({why}), and where the next "
                f"one begins cannot be told; correct it, or {_REMEDY}"
            )
        self._move(len(self._text))
        return BrokenObject(why)
