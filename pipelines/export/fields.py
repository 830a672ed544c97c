"""Checks and escapes fields of an export: nothing that its readers take for something else.

Readers strip lines, split them at more characters than ours, run what ends in a bar, hand some
names to a shell, and turn nested values into objects of their own. Each field is checked as they
see it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from actors.batch.error_rows import json_value
from pipelines.export.row import Sound
from pipelines.export.timed.one_line import is_control
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

SUFFIXES = ("flac", "wav")
# keys by which Lhotse takes a line of JSON for a cut, a recording or an array of its own
LHOTSE_KEYS = frozenset(
    ("type", "sources", "tracks", "cut", "recording", "features", "num_features", "shape", "array",
     "width")
)  # fmt: skip
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SCHEMES = ("http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf")
# readers of these two start a program through a shell: one writes the name between quotes
_SHELL = {".opus": re.compile("'"), ".sph": re.compile(r"[^\w@%+=:,./-]")}
_REMEDY = "rename it, or let --copy-audio take its audio along"


def checked_address(uri: str) -> str:
    """Check that every reader of an export takes an address for an address and no more.

    Args:
        uri: a local path or a URL.

    Returns:
        it, as a path where it is a ``file://`` address.

    Raises:
        BadRow: `unsafe_name`: a reader would take it for a command, a pipe, or another line.
    """
    uri = uri.removeprefix("file://")
    if not uri or any(map(is_stripped, (uri[0], uri[-1]))) or any(map(is_control, uri)):
        raise _unsafe(uri, "is stripped or broken into lines")
    if uri == "-" or uri.startswith("|") or uri.endswith("|"):
        raise _unsafe(uri, "is taken for a command or a pipe")
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1].lower() not in _SCHEMES:
        raise _unsafe(uri, f"has a scheme that is none of {', '.join(_SCHEMES)}")
    if scheme and not uri[scheme.end() :].startswith("//"):
        raise _unsafe(uri, "is neither a path nor a URL")
    for suffix, signs in _SHELL.items():
        if uri.lower().endswith(suffix) and signs.search(uri):
            raise _unsafe(uri, f"holds characters that a reader of {suffix} gives to a shell")
    return uri


def is_stripped(letter: str) -> bool:
    """Tell whether some reader strips a character at the ends of a name, or shows nothing."""
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")


def _unsafe(uri: str, why: str) -> BadRow:
    return BadRow("unsafe_name", f"audio {quoted(uri)} {why} by readers of the format; {_REMEDY}")


def checked_suffix(sound: Sound) -> str:
    """The ending of audio that goes into an export; readers choose a decoder by it.

    Raises:
        BadRow: `unsafe_name`: it is no audio of a run.
    """
    if sound.suffix not in SUFFIXES:
        raise BadRow(
            "unsafe_name",
            f"audio that ends in {quoted(sound.suffix)} was not made by a run; one of "
            f"{', '.join(SUFFIXES)} is exported",
        )
    return sound.suffix


def flat_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Columns for a reader that makes objects of nested values: these are JSON text instead."""
    flat = {}
    for name, value in facts.items():
        plain = json_value(value)
        flat[name] = json_text(plain) if isinstance(plain, dict | list) else plain
    return flat


def json_text(value: Any) -> str:
    """A value as JSON in one line for every reader: characters that end a line or are not seen are
    written as ``\\u2028``."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs"
        else json.dumps(letter)[1:-1] for letter in text
    )  # fmt: skip
