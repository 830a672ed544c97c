"""Find audio files: by their suffixes, or by their first bytes where a user asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from uniaudio2.audio.content import LOOK_BYTES, holds_audio
from uniaudio2.errors import BadRow

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".3gp", ".3g2", ".mpg", ".mpeg",
    ".m2ts", ".wmv", ".asf", ".rm",
)  # fmt: skip
AUDIO_SUFFIXES = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".spx",
    ".mp3", ".mp2", ".mpga", ".m4a", ".m4b", ".aac", ".ac3", ".eac3", ".wma", ".amr", ".awb",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc", ".wv", ".ape",
    ".tta", ".tak", ".mpc", ".dts", ".dsf", ".shn", ".ra", ".mka", ".weba", *VIDEO_SUFFIXES,
)  # fmt: skip
"""Suffixes of files that are taken: audio, and video whose first audio stream is heard.

Not among them are those that programs use for something else, such as ``.ts`` and ``.mts``.
"""
_READERS = 16


def is_audio_name(name: str) -> bool:
    """Tell whether a file is audio by its name."""
    return name.lower().endswith(AUDIO_SUFFIXES)


def audio_by_content(names: Iterable[str], head_of: Callable[[str, int], bytes]) -> Iterator[str]:
    """Select the files that begin as audio does, in their order; several are read at once.

    Args:
        names: of the files.
        head_of: gives the first bytes of one, so many at most.

    Raises:
        OSError: storage did not answer.
    """

    def is_audio(name: str) -> bool:
        try:
            return holds_audio(head_of(name, LOOK_BYTES))
        except BadRow:  # a pipe, a link to nothing
            return False

    names = list(names)
    with ThreadPoolExecutor(_READERS) as pool:
        for name, found in zip(names, pool.map(is_audio, names), strict=True):
            if found:
                yield name
