"""Clips on disk: one file of 16-bit samples, one of lines that say what each clip is.

A clip depends on the seed and its own number alone, so a corpus can grow, and any part of it can
be made again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uniaudio2.seeds import row_seed
from uniaudio2.training.data.domain import SYMBOLS, random_text, symbols_of
from uniaudio2.training.data.sounds import make_sound
from uniaudio2.training.data.speech import Manner, say

Group = Literal["train", "unseen_variants", "unseen_voices", "sounds", "unseen_sounds"]
CLIPS, PCM = "clips.jsonl", "clips.i16"
_HELD_OUT = 20  # one text in so many is never trained on


def _clips_per_call(count: int) -> int:
    return max(1, min(100, count // 8))


def is_held_out(text: str) -> bool:
    """Tell whether a text is held out for evaluation; one of a single word or event never is."""
    kept = row_seed(0, text, "text") % _HELD_OUT == 0
    return kept and text not in SYMBOLS


def draw_text(rng: random.Random, kind: Literal["words", "events"], unseen: bool) -> str:
    """Draw a random text, or one that is never trained on; both with the same spread of lengths."""
    text = random_text(rng, kind)
    while text not in SYMBOLS and is_held_out(text) != unseen:
        length = len(symbols_of(text))
        text = random_text(rng, kind)
        while len(symbols_of(text)) != length:
            text = random_text(rng, kind)
    return text


def make_clip(group: Group, seed: int, number: int) -> tuple[Tensor, dict[str, Any]]:
    """Make one clip.

    Returns:
        ``[N]`` float32 at 24 kHz, and what it is: `text`, `group`, and for speech the manner.
    """
    rng = random.Random(row_seed(seed, str(number), group))
    is_sound = group.endswith("sounds")
    text = draw_text(rng, "events" if is_sound else "words", unseen=group.startswith("unseen"))
    if is_sound:
        return make_sound(text, rng), {"text": text, "group": group}
    manner = Manner.draw(rng, group)
    return say(text, manner), {"text": text, "group": group} | manner.model_dump()


def _make_clips(group: Group, seed: int, numbers: range) -> list[tuple[bytes, dict[str, Any]]]:
    torch.set_num_threads(1)
    made = []
    for number in numbers:
        wave, facts = make_clip(group, seed, number)
        pcm = (wave.clamp(-1, 1) * 32767).round().to(torch.int16).numpy()
        made.append((pcm.tobytes(), facts))
    return made


def make_corpus(folder: Path, clips: dict[Group, int], seed: int, workers: int) -> None:
    """Write a corpus, unless it is there already.

    Args:
        folder: where; ``clips.jsonl`` is written last.
        clips: how many of each group.
        seed: decides everything.
        workers: processes.
    """
    if (folder / CLIPS).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    offset = 0
    with ProcessPoolExecutor(workers) as pool, (folder / PCM).open("wb") as samples:
        for group, count in clips.items():
            size = _clips_per_call(count)
            calls = [range(i, min(i + size, count)) for i in range(0, count, size)]
            for made in pool.map(partial(_make_clips, group, seed), calls):
                for pcm, facts in made:
                    samples.write(pcm)
                    lines.append(json.dumps(facts | {"start": offset, "samples": len(pcm) // 2}))
                    offset += len(pcm) // 2
    (folder / CLIPS).write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Clip:
    """One clip of a corpus; its samples are read when asked for."""

    text: str
    group: Group
    samples: int
    start: int
    pcm: npt.NDArray[np.int16]

    @property
    def is_speech(self) -> bool:
        return not self.group.endswith("sounds")

    def wave(self) -> Tensor:
        """``[N]`` float32 at 24 kHz."""
        return torch.from_numpy(
            self.pcm[self.start : self.start + self.samples] / np.float32(32767)
        )


class Corpus:
    """The clips of a folder, memory-mapped.

    Args:
        folder: of `make_corpus`.
        groups: which clips; None for all.
    """

    def __init__(self, folder: Path, groups: tuple[Group, ...] | None = None) -> None:
        pcm = np.memmap(folder / PCM, dtype=np.int16, mode="r")
        facts = [json.loads(line) for line in (folder / CLIPS).read_text().splitlines()]
        self.clips = [
            Clip(one["text"], one["group"], one["samples"], one["start"], pcm)
            for one in facts
            if groups is None or one["group"] in groups
        ]

    @property
    def speech(self) -> list[Clip]:
        return [clip for clip in self.clips if clip.is_speech]

    @property
    def sounds(self) -> list[Clip]:
        return [clip for clip in self.clips if not clip.is_speech]

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)
