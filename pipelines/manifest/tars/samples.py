"""A sample of an archive: the members of one key, and the rows that they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.manifest.tables.audio_names import VIDEO_SUFFIXES
from pipelines.manifest.tables.row_tables import Row, fault_row

_COLUMNS = ("text", "caption", "question", "lyric", "speaker", "language")
TEXTS = {".txt": "text", **{f".{name}": name for name in _COLUMNS}}
"""Columns that members are, by their endings."""


@dataclass
class Sample:
    """The members of one key, by the part of their names.

    Attributes:
        key: what they share.
        sounds: addresses of the audio.
        facts: what texts and JSON say; what is wrong with them is under `fault`.
        suffixes: of all members, with their parts.
        is_odd: one of them cannot be read.
    """

    key: str
    sounds: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Row] = field(default_factory=dict)
    suffixes: set[str] = field(default_factory=set)
    is_odd: bool = False
    _videos: set[str] = field(default_factory=set)

    def hear(self, part: str, ending: str, address: str) -> bool:
        """Take a sound; False where a part has two, one of which is left out.

        A part has two where the same sound lies there in two formats, or beside its video: then
        the first is heard, and audio rather than video.
        """
        is_new = part not in self.sounds
        is_video = ending in VIDEO_SUFFIXES
        if is_new or (part in self._videos and not is_video):
            self.sounds[part] = address
            self._videos = self._videos - {part} | ({part} if is_video else set())
        return is_new

    def rows(self) -> Iterator[Row]:
        """One row; or one for each part, named by it, where a key has several sounds.

        File names that hold a dot (``speaker.1.flac``, ``speaker.2.flac``) share a key, and so do
        the channels of one recording: none of them may be lost.
        """
        shared = self.facts.get("", {})
        parts = list(self.sounds) or ([""] if shared else list(self.facts)) or [""]
        for part in parts:
            name = self.key + part if len(parts) > 1 else self.key
            facts = shared | self.facts.get(part, {})
            fault = facts.pop("fault", None)
            sound = {"audio": self.sounds[part]} if part in self.sounds else {}
            yield fault_row(name, fault) if fault else {"id": name, **sound, **facts}


def add_facts(row: Row, data: bytes, extension: str) -> None:
    """Take up what a text or JSON says; what is wrong with it goes to the key `fault`."""
    try:
        text = data.decode("utf-8-sig")
        if extension != ".json":
            row[TEXTS[extension]] = text.strip("\r\n")
            return
        facts: Any = json.loads(text)
    except UnicodeDecodeError:
        row["fault"] = f"{extension}: text that is not valid UTF-8; save it as UTF-8"
        return
    except (ValueError, RecursionError) as fault:
        row["fault"] = f"{extension}: {fault}"
        return
    if not isinstance(facts, dict):
        row["fault"] = f".json holds a {type(facts).__name__}, not an object"
        return
    for name, value in facts.items():
        row.setdefault(f"json_{name}" if name in ("id", "audio", "fault") else name, value)
