"""A speech recogniser apart from the model, trained on espeak-ng's audio alone: mel and CTC.

It evaluates speech that the model made. It is never trained on what a codec has made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.codec.features import to_16k
from uniaudio2.codec.mel import WHISPER_HOP, whisper_log_mel
from uniaudio2.training.data.augment import PackedSegment, augment
from uniaudio2.training.data.corpus import Corpus
from uniaudio2.training.data.domain import SYMBOLS, symbols_of
from uniaudio2.training.data.rng import step_rng
from uniaudio2.training.trainers.codec import SymbolHead, symbol_loss
from uniaudio2.training.trainers.loop import Loop, Losses, Schedule

_BINS, _WIDTH, _LAYERS = 64, 128, 5
_RATE_HZ = 25
_MEL_RATE_HZ = 16_000 // WHISPER_HOP


class Recogniser(nn.Module):
    """Recognises words in waves, by convolutions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv1d(_BINS, _WIDTH, 5, stride=2, padding=2)
        self.down = nn.Conv1d(_WIDTH, _WIDTH, 5, stride=2, padding=2)
        self.layers = nn.ModuleList(
            nn.Conv1d(_WIDTH, _WIDTH, 5, padding=2 * 2**n, dilation=2**n)
            for n in (0, 0, 1, 1, 2)[:_LAYERS]
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, _WIDTH) for _ in range(_LAYERS))
        self.head = SymbolHead(_WIDTH, 1, reach=1)

    def forward(self, wave: Tensor) -> Tensor:
        """``[B, N]`` at 24 kHz to log probabilities ``[B, T, classes]`` at 25 Hz."""
        mel = whisper_log_mel(to_16k(wave, SAMPLE_RATE), _BINS)
        frames = nn.functional.gelu(self.down(nn.functional.gelu(self.start(mel))))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            frames = frames + nn.functional.gelu(layer(norm(frames)))
        log_probs: Tensor = self.head(frames.transpose(1, 2))
        return log_probs

    @torch.no_grad()
    def transcribe(self, wave: Tensor) -> str:
        """Transcribe one wave ``[N]`` at 24 kHz: the best class of every frame, repeats merged."""
        best = self(wave[None])[0].argmax(-1).unique_consecutive().tolist()
        return " ".join(SYMBOLS[index - 1] for index in best if index)


def padded_batch(waves: Sequence[Tensor]) -> Tensor:
    """Pad waves of any lengths with silence: ``[B, N]``."""
    return nn.utils.rnn.pad_sequence(list(waves), batch_first=True)


def train_recogniser(
    folder: Path, corpus: Corpus, schedule: Schedule, seed: int, device: str, batch: int = 16
) -> Recogniser:
    """Train the recogniser on the speech of a corpus.

    Args:
        folder: where checkpoint, log and result go.
        corpus: clips.
        schedule: how.
        seed: decides weights and batches.
        device: torch device.
        batch: clips a step.
    """
    torch.manual_seed(seed)
    recogniser = Recogniser().to(device).train()
    speech = corpus.speech
    loop = Loop(folder, "recogniser", recogniser, schedule)

    def losses_of(step: int) -> Losses:
        rng = step_rng(seed, "recogniser", step)
        clips = [rng.choice(speech) for _ in range(batch)]
        packed = [
            PackedSegment(augment(clip.wave(), rng), symbols_of(clip.text), clip.samples)
            for clip in clips
        ]
        wave = padded_batch([one.wave for one in packed]).to(device)
        return {"loss": symbol_loss(recogniser(wave), packed, _RATE_HZ)}

    loop.run(losses_of)
    loop.load_result()
    return recogniser
