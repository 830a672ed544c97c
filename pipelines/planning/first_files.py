"""The first local files that rows name, looked at while planning: is their content there at all?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.storage.addresses import LOCAL, AddressPolicy, resolve, scheme_of
from actors.storage.fetch import fetch
from pipelines.errors import UsageError
from uniaudio2.audio.sniff import POINTER, is_pointer
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

LOOKED_AT = 8
_POINTER_BYTES = 1024  # a pointer of Git LFS is smaller


def local_names(names: Iterable[object], policy: AddressPolicy) -> Iterator[str]:
    """Those of the values of a column that name local files, where a manifest may name such."""
    for name in () if policy.is_remote else names:
        if isinstance(name, str) and scheme_of(name) in LOCAL:
            yield name


class FirstFiles:
    """Looks at the first files of a manifest, and at no more of them than `LOOKED_AT`."""

    def __init__(self) -> None:
        self.looked_at = 0
        self._pointers: list[str] = []

    def look(self, names: Iterable[object], policy: AddressPolicy) -> None:
        """Take in names of files.

        Args:
            names: as they stand in the manifest.
            policy: of that manifest.
        """
        for name in local_names(names, policy):
            if self.looked_at == LOOKED_AT:
                return
            self.looked_at += 1
            try:
                if is_pointer(fetch(resolve(name, policy.base), _POINTER_BYTES, policy)):
                    self._pointers.append(name)
            except (BadRow, OSError):  # larger, or a matter of its row
                continue

    def check(self, uri: str) -> None:
        """Refuse an INPUT whose audio was not fetched.

        Raises:
            UsageError: all files that were looked at are pointers of Git LFS.
        """
        if self._pointers and len(self._pointers) == self.looked_at:
            raise UsageError(
                f"{uri}: the first {self.looked_at} files that its rows name are not there: "
                f"{quoted(self._pointers[0])} is {POINTER}; `--set input.refused=rows` starts all "
                "the same"
            )
