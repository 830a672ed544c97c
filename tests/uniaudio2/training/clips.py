"""Small corpora for tests: sounds from the recipe itself, speech stood in for by sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from uniaudio2.tokens.codes import Codes
from uniaudio2.training.data.corpus import Clip, Corpus, make_clip, make_corpus
from uniaudio2.training.data.encoded import EncodedClip


def sound_corpus(folder: Path, count: int = 6) -> Corpus:
    """A corpus on disk that needs no espeak-ng."""
    make_corpus(folder, {"sounds": count}, seed=3, workers=1)
    return Corpus(folder)


def clip_of(wave: torch.Tensor, text: str, group: str = "train") -> Clip:
    """A clip that is not on disk."""
    pcm = (wave * 32767).to(torch.int16).numpy().astype(np.int16)
    return Clip(text, group, len(pcm), 0, pcm)  # type: ignore[arg-type]


def some_sounds(count: int, group: str = "sounds") -> list[Clip]:
    """Clips of sounds, as another group where asked."""
    made = [make_clip("sounds", 5, number) for number in range(count)]
    return [clip_of(wave, facts["text"], group) for wave, facts in made]


def encoded_clips(count: int, reason: int = 32, recon: int = 64) -> list[EncodedClip]:
    """Random codes; every second clip is speech, numbers alternate between clean and not."""
    generator = torch.Generator().manual_seed(1)

    def codes(frames: int) -> Codes:
        return Codes(
            torch.randint(reason, (frames * 2 // 5 + 1, 8), generator=generator),
            torch.randint(recon, (frames, 8), generator=generator),
        )

    return [
        EncodedClip(n // 2, "yes no" if n % 2 else "a chord", bool(n % 2), codes(4 + n % 5))
        for n in range(count)
    ]
