"""The published checkpoint folder: which files it has, and which of them a folder holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

_MARKS = ("llm_config.yaml", "ReasoningCodec.checkpoint", "sqcodec.pth", "llm_ep*.checkpoint")

_OF_THE_LLM = {"llm_settings", "llm", "tokenizer", "prompts"}


@dataclass(frozen=True)
class PublishedFile:
    """One entry of the folder.

    Attributes:
        name: a short name of our own.
        patterns: where it may lie, relative to the folder; the first that exists counts.
        description: what it holds.
        needed: conversion stops without it.
        not_in: folders whose file of this name is another one.
    """

    name: str
    patterns: tuple[str, ...]
    description: str
    needed: bool = True
    not_in: tuple[str, ...] = ()


PUBLISHED_FILES = (
    PublishedFile("llm_settings", ("llm_config.yaml",), "cards, markers and names of the LLM"),
    PublishedFile("llm", ("llm_ep*.checkpoint",), "weights of the LLM"),
    PublishedFile(
        "codec", ("ReasoningCodec.checkpoint",), "weights of codec encoder and flow decoder"
    ),
    PublishedFile("flow", ("model_config.json",), "sizes of the flow transformer"),
    PublishedFile("scalar_settings", ("sqcodec_config.yaml",), "sizes of the scalar codec"),
    PublishedFile("scalar", ("sqcodec.pth",), "weights of the scalar codec"),
    PublishedFile("whisper", ("whisper-medium/config.json",), "the Whisper encoder"),
    PublishedFile("wavlm", ("wavlm/config.json",), "WavLM"),
    PublishedFile("music", ("music_ssl.pt",), "MusicFM"),
    PublishedFile(
        "tokenizer",
        ("tokenizer.json", "*/tokenizer.json"),
        "the text tokenizer",
        not_in=("whisper-medium", "wavlm"),
    ),
    PublishedFile(
        "prompts",
        ("prompts.json", "audio_tasks_prompts.json", "prompts/audio_tasks_prompts.json"),
        "task prompts",
        needed=False,
    ),
    PublishedFile(
        "base",
        ("base_config.yaml",),
        "our settings for what the other files do not tell, where it is no model of published size",
        needed=False,
    ),
    PublishedFile(
        "small_codec",
        ("ReasoningCodec_1024.checkpoint",),
        "a codec that the LLM does not know; `convert --small-codec` makes a model of it alone",
        needed=False,
    ),
)


def files_of(folder: Path) -> dict[str, int]:
    """List the files of a folder and of the folders in it: names to sizes in bytes."""
    found = sorted(path for depth in ("*", "*/*") for path in folder.glob(depth) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def are_published(names: Iterable[str]) -> bool:
    """Tell whether names are those of a published checkpoint folder: any of its own is there."""
    return any(_fits(name, mark) for name in names for mark in _MARKS)


def is_published(folder: Path) -> bool:
    """Tell whether a folder looks like a published checkpoint."""
    return folder.is_dir() and are_published(files_of(folder))


def find(names: Iterable[str], file: PublishedFile) -> str | None:
    """Find a published file among the names of a folder's files; None if it is not there.

    Raises:
        ValueError: several answer, and nothing tells which is meant.
    """
    for pattern in file.patterns:
        found = sorted(
            name
            for name in names
            if _fits(name, pattern) and name.rpartition("/")[0] not in file.not_in
        )
        if len(found) > 1:
            raise ValueError(
                f"the folder holds {len(found)} files {pattern} ({', '.join(found)}), where one is "
                "needed; leave only the one that is meant"
            )
        if found:
            return found[0]
    return None


def find_all(folder: Path, small_codec: bool = False) -> dict[str, Path]:
    """Find every published file by its short name; optional ones may be absent.

    Args:
        folder: the published folder.
        small_codec: take the codec of 1024 codes for the codec, and no language model.

    Raises:
        ValueError: a file that is needed is missing; the message lists them all.
    """
    names = files_of(folder)
    places = {file.name: find(names, file) for file in PUBLISHED_FILES}
    needed = {file.name for file in PUBLISHED_FILES if file.needed}
    if small_codec:
        needed = needed - _OF_THE_LLM - {"codec"} | {"small_codec"}
        places = {name: place for name, place in places.items() if name not in _OF_THE_LLM}
        places["codec"] = places["small_codec"]
    missing = [
        f"{file.patterns[0]} ({file.description})"
        for file in PUBLISHED_FILES
        if file.name in needed and places[file.name] is None
    ]
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}; a published checkpoint folder has all of them: "
            "download what is missing into it"
        )
    return {name: folder / place for name, place in places.items() if place is not None}


def describe_files(files: Mapping[str, int]) -> list[tuple[str, str]]:
    """Describe what a published folder holds: pattern of every file, and path, size or absence.

    Args:
        files: sizes in bytes by name.

    Raises:
        ValueError: several files answer for one.
    """
    return [(file.patterns[0], _state(files, file)) for file in PUBLISHED_FILES]


def _state(files: Mapping[str, int], file: PublishedFile) -> str:
    name = find(files, file)
    if name is None:
        return f"{'MISSING' if file.needed else 'absent'}: {file.description}"
    return f"{name}, {files[name] / 1e6:.1f} MB: {file.description}"
