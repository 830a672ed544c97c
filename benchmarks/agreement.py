"""What precisions other than float32 change: codes, words, captions and spectra, with nano.

Heard are the recordings that ship with the package, texts that nano speaks itself and sounds that
are made here, each in float32 and in another precision; then the exact codes are decoded in both.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import jiwer
import torch
from torch import Tensor

from pipelines.cli.demo import EXAMPLES
from uniaudio2.audio.files import decode_audio
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.runtime.precision import EXACT, Precision
from uniaudio2.tokens.codes import Codes
from uniaudio2.training.data.corpus import draw_text
from uniaudio2.training.data.sounds import make_sound
from uniaudio2.training.evaluate import Evaluation
from uniaudio2.training.trainers.recogniser import Recogniser

_CLIPS, _QUICK_CLIPS = 40, 6
_BATCH = 16
_FFT, _HOP = 1024, 256
_FLOOR = 1e-5  # of a magnitude: below, silence differs from silence


def log_spectral_distance(one: Tensor, other: Tensor) -> float:
    """Mean over frames of the root mean square difference in dB of two waves ``[N]``."""
    length = min(len(one), len(other))
    window = torch.hann_window(_FFT)
    levels = [
        torch.stft(wave[:length], _FFT, _HOP, window=window, return_complex=True).abs()
        for wave in (one, other)
    ]  # each [bins, frames]
    first, second = (20 * level.clamp(min=_FLOOR).log10() for level in levels)
    return float((first - second).square().mean(0).sqrt().mean())


def equal_shares(ours: Sequence[Codes], others: Sequence[Codes]) -> list[float]:
    """Share of equal codes in each of the 16 codebooks, reasoning first."""
    shares = []
    for name in ("reason", "recon"):
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(ours, others, strict=True)]
        equal = torch.cat([a == b for a, b in pairs])  # [frames, 8]
        shares += equal.double().mean(0).tolist()
    return shares


class _Heard:
    """Clips with what is said or sounds in them.

    Args:
        judge: speaks the texts.
        count: texts that are spoken, and sounds.
    """

    def __init__(self, judge: Evaluation, count: int) -> None:
        dice = random.Random(0)  # noqa: S311 - texts, no secrets
        rows = [json.loads(line) for line in (EXAMPLES / "speech.jsonl").read_text().splitlines()]
        spoken = [draw_text(dice, "words", unseen=True) for _ in range(count)]
        self.texts = [row["text"] for row in rows] + spoken
        self.captions = [draw_text(dice, "events", unseen=True) for _ in range(count)]
        self.waves = [decode_audio(Path(EXAMPLES / row["audio"]).read_bytes()) for row in rows]
        self.waves += judge.synthesize("tts", spoken)
        self.waves += [make_sound(caption, dice) for caption in self.captions]

    def score(self, judge: Evaluation, codes: Sequence[Codes]) -> tuple[float, float]:
        """Word error rate and share of exact captions that nano gets from codes of the clips."""
        said, told = codes[: len(self.texts)], codes[len(self.texts) :]
        answers = [judge.generate("asr", said), judge.generate("audio_caption", told)]
        heard, named = (
            [judge.model.text_of(answer.text_ids) for answer in some] for some in answers
        )
        exact = sum(one == other for one, other in zip(named, self.captions, strict=True))
        return cast("float", jiwer.wer(self.texts, heard)), exact / len(named)


def _decoded(model: UniAudio2, codes: Sequence[Codes], first_seed: int = 0) -> list[Tensor]:
    seeds = range(first_seed, first_seed + len(codes))
    return model.decode(codes, seeds, windows_per_batch=_BATCH)


def _mean_distance(ours: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    pairs = list(zip(ours, others, strict=True))
    return sum(log_spectral_distance(one, other) for one, other in pairs) / len(pairs)


def run(quick: bool) -> dict[str, float]:
    """Measure and print; returns the figures by name."""
    judge = Evaluation(UniAudio2.load("nano"), Recogniser())
    heard = _Heard(judge, _QUICK_CLIPS if quick else _CLIPS)
    exact = judge.model.encode(heard.waves, _BATCH)
    waves = _decoded(judge.model, exact)
    reseeded = _mean_distance(_decoded(judge.model, exact, 10_000), waves)
    words, captions = heard.score(judge, exact)
    print(f"nano hears {len(heard.texts)} spoken texts and {len(heard.captions)} sounds; "
          f"{sum(len(one.recon) for one in exact)} frames at 12.5 Hz")  # fmt: skip
    print(f"{EXACT}: word error rate {words:.4f}, captions exact {captions:.4f}; another seed "
          f"changes spectra by {reseeded:.2f} dB")  # fmt: skip
    figures = {"agreement.wer_float32": words, "agreement.captions_float32": captions}
    others: tuple[Precision, ...] = ("bfloat16",)
    if judge.model.device.type == "cuda":
        others = ("tf32", *others)
    for precision in others:
        rounded = UniAudio2.load("nano", parts=("encoder", "decoder"), precision=precision)
        codes = rounded.encode(heard.waves, _BATCH)
        shares = equal_shares(codes, exact)
        words, captions = heard.score(judge, codes)
        distance = _mean_distance(_decoded(rounded, exact), waves)
        print(f"{precision}: equal codes, reasoning "
              + " ".join(f"{share:.3f}" for share in shares[:8]) + "; reconstruction "
              + " ".join(f"{share:.3f}" for share in shares[8:]))  # fmt: skip
        print(f"{precision}: word error rate {words:.4f}, captions exact {captions:.4f}; decoded "
              f"spectra differ by {distance:.2f} dB")  # fmt: skip
        figures |= {
            f"agreement.equal_codes_{precision}": sum(shares) / len(shares),
            f"agreement.first_codes_{precision}": min(shares[0], *shares[8:11]),
            f"agreement.wer_{precision}": words,
            f"agreement.captions_{precision}": captions,
            f"agreement.spectral_db_{precision}": distance,
        }
    return figures | {"agreement.spectral_db_seed": reseeded}
