"""What a check of ``uniaudio2 doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        found: its version or state, in words.
        remedy: what to do; "" when the check passed.
        hint: what would be better where runs work all the same; "" when nothing would.
    """

    name: str
    found: str
    remedy: str = ""
    hint: str = ""

    @property
    def passed(self) -> bool:
        return not self.remedy
