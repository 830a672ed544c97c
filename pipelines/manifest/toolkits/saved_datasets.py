"""Folders that `datasets` saved: which Arrow files hold their rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pipelines.errors import UsageError
from uniaudio2.shown import quoted

MARKS = ("state.json", "dataset_info.json")
SPLITS = "dataset_dict.json"
_NAME = re.compile(r"[^./\\:][^/\\:]*")


def is_saved(names: set[str]) -> bool:
    """Tell a folder that `datasets` saved by the names of its files."""
    return SPLITS in names or set(MARKS) <= names


def shards(read: Callable[[str], Any], folder: str = "") -> Iterator[str]:
    """The files of a folder in order, or those of all its splits, by their names inside it.

    Args:
        read: the JSON of a file, None where it is not there.
        folder: where the folder lies in that which `read` knows, ending in a slash.

    Raises:
        UsageError: a name that may lead out of the folder, or JSON that `datasets` did not write.
    """
    facts = read(folder + SPLITS)
    where = folder + (MARKS[0] if facts is None else SPLITS)
    try:
        if facts is not None:
            for split in facts["splits"]:
                yield from shards(read, f"{folder}{_plain(split, where)}/")
            return
        files = [file["filename"] for file in read(folder + MARKS[0])["_data_files"]]
    except (KeyError, TypeError, AttributeError) as fault:
        raise UsageError(
            f"{quoted(where)} is not what `datasets` writes ({type(fault).__name__}); "
            "save the dataset again"
        ) from fault
    for name in files:
        yield folder + _plain(name, where)


def _plain(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{quoted(where)} names {quoted(name, 80)}; the files of a dataset lie in its own "
            "folder: give their plain names"
        )
    return name
