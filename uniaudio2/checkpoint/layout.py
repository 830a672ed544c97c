"""The published checkpoint folder: which files it has, and which of them a folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MARKS = ("llm_config.yaml", "ReasoningCodec.checkpoint", "sqcodec.pth", "llm_ep*.checkpoint")


@dataclass(frozen=True)
class PublishedFile:
    """One entry of the folder.

    Attributes:
        name: a short name of our own.
        patterns: where it may lie, relative to the folder; the first that exists counts.
        says: what it holds.
        needed: conversion stops without it.
        not_in: folders whose file of this name is another one.
    """

    name: str
    patterns: tuple[str, ...]
    says: str
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
        "small_codec",
        ("ReasoningCodec_1024.checkpoint",),
        "a codec that the LLM does not know; not used",
        needed=False,
    ),
)


def is_published(folder: Path) -> bool:
    """Whether a folder looks like a published checkpoint: any of its own files is there."""
    return folder.is_dir() and any(any(folder.glob(mark)) for mark in _MARKS)


def find(folder: Path, file: PublishedFile) -> Path | None:
    """Where a folder holds a published file; None if it does not.

    Raises:
        ValueError: several files answer, and nothing tells which is meant.
    """
    for pattern in file.patterns:
        found = sorted(
            path
            for path in folder.glob(pattern)
            if path.is_file() and path.parent.name not in file.not_in
        )
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in found)
            raise ValueError(
                f"{folder} holds {len(found)} files {pattern} ({names}), where one is needed; "
                "leave only the one that is meant"
            )
        if found:
            return found[0]
    return None


def find_all(folder: Path) -> dict[str, Path]:
    """Every published file by its short name; optional ones may be absent.

    Raises:
        ValueError: a file that is needed is missing; the message lists them all.
    """
    places = {file.name: find(folder, file) for file in PUBLISHED_FILES}
    missing = [
        f"{file.patterns[0]} ({file.says})"
        for file in PUBLISHED_FILES
        if file.needed and places[file.name] is None
    ]
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}; a published checkpoint folder has all of them: "
            "download what is missing into it"
        )
    return {name: place for name, place in places.items() if place is not None}


def describe_folder(folder: Path) -> list[tuple[str, str]]:
    """What a published folder holds: pattern of every file, and its path, size or absence.

    Raises:
        ValueError: several files answer for one.
    """
    return [(file.patterns[0], _state(folder, file)) for file in PUBLISHED_FILES]


def _state(folder: Path, file: PublishedFile) -> str:
    place = find(folder, file)
    if place is None:
        return f"{'MISSING' if file.needed else 'absent'}: {file.says}"
    size = place.stat().st_size / 1e6
    return f"{place.relative_to(folder)}, {size:.1f} MB: {file.says}"
