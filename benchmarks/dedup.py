"""Near duplicates among spoken clips whose damage is known: how alike codes stay, what is found.

Clips are made by espeak-ng and encoded by nano, each again after every kind of damage. Pairs of a
clip and its damaged self are what a corpus that was scraped twice holds.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pipelines.dedup.duplicates import Duplicates
from pipelines.dedup.minhash import jaccard, ngrams
from uniaudio2 import UniAudio2
from uniaudio2.training.data.corpus import make_clip

CLIPS, QUICK_CLIPS = 100, 10
THRESHOLDS, RECALL = (0.8, 0.5, 0.3), 0.99
RATE_HZ = 24_000
_CODEBOOKS = (1, 8)


def _noisy(snr_db: float) -> Callable[[Tensor], Tensor]:
    def damage(wave: Tensor) -> Tensor:
        drawn = torch.Generator().manual_seed(len(wave))
        level = wave.square().mean().sqrt() * 10 ** (-snr_db / 20)
        return wave + level * torch.randn(len(wave), generator=drawn)

    return damage


def _cut(seconds: float) -> Callable[[Tensor], Tensor]:
    return lambda wave: wave[round(seconds * RATE_HZ) :]


def _low_passed(wave: Tensor) -> Tensor:
    """Nothing above 4 kHz, as of a telephone."""
    spectrum = torch.fft.rfft(wave)
    spectrum[round(len(spectrum) * 4000 / (RATE_HZ / 2)) :] = 0
    return torch.fft.irfft(spectrum, len(wave))


DAMAGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "16-bit samples": lambda wave: (wave * 32767).round() / 32767,
    "half as loud": lambda wave: 0.5 * wave,
    "noise, 40 dB below": _noisy(40.0),
    "noise, 20 dB below": _noisy(20.0),
    "nothing above 4 kHz": _low_passed,
    "0.2 s cut off at the start": _cut(0.2),
    "0.05 s cut off at the start": _cut(0.05),
}


def _clips(count: int) -> list[Tensor]:
    """Texts of several words, each once."""
    found: dict[str, Tensor] = {}
    number = 0
    while len(found) < count:
        wave, facts = make_clip("unseen_variants", 7, number)
        number += 1
        if len(facts["text"].split()) >= 4:
            found.setdefault(facts["text"], wave)
    return list(found.values())


def run(quick: bool) -> Mapping[str, float]:
    """Measure and print; returns shares by name.

    Args:
        quick: fewer clips.
    """
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng makes the clips; install it (Debian: apt install espeak-ng)")
    model = UniAudio2.load("nano")
    waves = _clips(QUICK_CLIPS if quick else CLIPS)
    codes = {"": _encoded(model, waves)}
    for name, damage in DAMAGES.items():
        codes[name] = _encoded(model, [damage(wave) for wave in waves])
    figures: dict[str, float] = {}
    for codebooks in _CODEBOOKS:
        _similarities(codes, codebooks, figures)
    for threshold in THRESHOLDS:
        figures[f"dedup.recall_{threshold:g}"] = _recall(codes, threshold)
    return figures


def _encoded(model: UniAudio2, waves: list[Tensor]) -> list[np.ndarray]:
    return [one.reason.numpy() for one in model.encode(waves)]


def _similarities(
    codes: Mapping[str, list[np.ndarray]], codebooks: int, figures: dict[str, float]
) -> None:
    """How many pairs of a clip and its damaged self are alike, and of different clips."""
    sets = {name: [ngrams(one, codebooks) for one in some] for name, some in codes.items()}
    print(f"{codebooks} of 8 codebooks, share of pairs with a similarity of at least "
          + ", ".join(f"{threshold:g}" for threshold in THRESHOLDS))  # fmt: skip
    for name in DAMAGES:
        found = [jaccard(one, other) for one, other in zip(sets[""], sets[name], strict=True)]
        shares = [float(np.mean([one >= threshold for one in found])) for threshold in THRESHOLDS]
        print(f"  {name:<28}" + "".join(f"{share:7.2f}" for share in shares))
        if codebooks == 1:
            figures[f"dedup.{name.replace(' ', '_')}"] = shares[1]
    drawn = random.Random(1)  # noqa: S311 - which pairs are looked at
    count = len(sets[""])
    pairs = [drawn.sample(range(count), 2) for _ in range(20 * count)]
    found = [jaccard(sets[""][one], sets[""][other]) for one, other in pairs]
    shares = [float(np.mean([one >= threshold for one in found])) for threshold in THRESHOLDS]
    print(f"  {'different clips':<28}" + "".join(f"{share:7.4f}" for share in shares), flush=True)


def _recall(codes: Mapping[str, list[np.ndarray]], threshold: float) -> float:
    """Of damaged clips that are as alike to their own as the threshold says, the share found."""
    wanted = found = extra = 0
    for name in DAMAGES:
        finder = Duplicates(threshold, RECALL, codebooks=1)
        count = len(codes[""])
        rows = [*codes[""], *codes[name]]
        finder.add([f"{number:06d}" for number in range(2 * count)], rows)
        told = {one.row: one.of for one in finder.find()}
        for number in range(count):
            sets = [ngrams(rows[row], 1) for row in (number, number + count)]
            is_alike = jaccard(*sets) >= threshold
            wanted += is_alike
            found += is_alike and number + count in told
            extra += not is_alike and told.get(number + count) == number
    print(f"threshold {threshold:g}: {found} of {wanted} damaged clips found, "
          f"{extra} that are less alike")  # fmt: skip
    return found / max(wanted, 1)
