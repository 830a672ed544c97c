"""Lhotse's manifests that are whole only together: supervisions with their recordings, Shar's cuts
with the tar of their audio. An object of the one is completed from the other, to a cut that holds
its audio, and is read as such."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.manifest.tables.row_tables import Row

_SPOKEN, _RECORDED = "supervisions", "recordings"
_SUPERVISION = {"id", "recording_id", "start", "duration"}
_SHAR_CUTS = re.compile(r"cuts((\.\d+)?)\.jsonl(\.gz)?")
NO_RECORDING = "no recording"  # the type of a source that is not there


def is_supervision(row: Any) -> bool:
    """Tell a supervision of Lhotse from another JSON object."""
    return isinstance(row, dict) and row.keys() >= _SUPERVISION and not row.keys() & {
        "type", "recording", "sources", "audio", "audio_filepath",
    }  # fmt: skip


def recordings_name(name: str) -> str | None:
    """The file that holds the recordings of a file of supervisions, by the names that ``lhotse
    prepare`` gives; None for any other name."""
    folder, base = posixpath.split(name)
    if _SPOKEN not in base:
        return None
    return posixpath.join(folder, _RECORDED.join(base.rsplit(_SPOKEN, 1)))


def shar_tar(name: str) -> str | None:
    """The tar that holds the audio of a file of Shar's cuts; None for a file of another name."""
    folder, base = posixpath.split(name)
    found = _SHAR_CUTS.fullmatch(base)
    return posixpath.join(folder, f"recording{found[1]}.tar") if found else None


@dataclass
class Recordings:
    """The recordings that supervisions name.

    Args:
        objects: of their file.

    Attributes:
        used: ids of those that were named.
    """

    objects: Iterable[Any]
    used: set[str] = field(default_factory=set)
    _known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.objects:
            if isinstance(row, dict) and isinstance(row.get("id"), str) and "sources" in row:
                self._known[row["id"]] = json.dumps(row)  # a text takes a tenth of the memory

    def unused(self) -> int:
        """How many no supervision names."""
        return len(self._known.keys() - self.used)

    def cut(self, row: Row) -> Row:
        """A supervision as the cut that it is of its recording; any other object as it is."""
        if not is_supervision(row):
            return row
        name = row["recording_id"]
        found = self._known.get(name) if isinstance(name, str) else None
        if found is not None:
            self.used.add(name)
        channels = row.get("channel", 0)
        return {
            "id": row["id"],
            "type": "MultiCut" if isinstance(channels, list) else "MonoCut",
            "start": row["start"],
            "duration": row["duration"],
            "channel": channels,
            "supervisions": [{name: value for name, value in row.items() if name != "custom"}],
            "custom": row.get("custom"),
            "recording": json.loads(found) if found else _absent(channels),
        }


def _absent(channels: Any) -> Row:
    return {"id": "", "sources": [{"type": NO_RECORDING, "channels": channels, "source": ""}]}


def filled(members: Mapping[str, str]) -> Callable[[Row], Row]:
    """Give cuts of Shar the audio that stands under their id in the tar beside them.

    Args:
        members: of the tar, see `tar_members`.

    Returns:
        makes a cut that holds an address instead of Shar's placeholder; any other object, and a
        cut that the tar does not hold, stays as it is.
    """
    sounds = {posixpath.splitext(name)[0]: name for name in _sounds(members)}

    def fill(row: Row) -> Row:
        recording = row.get("recording")
        name = sounds.get(str(row.get("id")))
        if name is None or not isinstance(recording, dict):
            return row
        try:
            (source,) = recording["sources"]
            if source["type"] != "shar":
                return row
            there = {**source, "type": "file", "source": members[name]}
        except (KeyError, TypeError, ValueError):
            return row  # what is wrong with it is said where it is read
        return {**row, "recording": {**recording, "sources": [there]}}

    return fill


def _sounds(members: Iterable[str]) -> Iterator[str]:
    """Members with audio; beside each lies what is known of it, and where a cut has none, that."""
    return (name for name in members if not name.endswith((".json", ".nodata", ".nometa")))
