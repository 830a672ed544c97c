"""Speech for training, synthesised by the program espeak-ng."""

from __future__ import annotations

import random
import subprocess

from torch import Tensor

from uniaudio2.audio.files import decode_audio
from uniaudio2.frozen import Frozen
from uniaudio2.training.data.domain import (
    NAMED_VARIANTS,
    PITCHES,
    SPEEDS_WPM,
    UNSEEN_VARIANTS,
    UNSEEN_VOICES,
    USUAL_VARIANTS,
    VOICES,
    WORD_GAPS,
)

_LONGEST_S = 60.0


class Manner(Frozen):
    """How a text is said: espeak-ng's voice (``en-us+m3``), words a minute, pitch, word gap."""

    voice: str
    speed_wpm: int
    pitch: int
    gap: int

    @staticmethod
    def draw(rng: random.Random, group: str) -> Manner:
        """Draw a manner of the group ``train``, ``unseen_variants`` or ``unseen_voices``."""
        if group == "unseen_voices":
            voice = rng.choice(UNSEEN_VOICES)
        elif group == "unseen_variants":
            voice = f"{rng.choice(VOICES)}+{rng.choice(UNSEEN_VARIANTS)}"
        else:
            variants = USUAL_VARIANTS if rng.random() < 0.5 else NAMED_VARIANTS
            voice = f"{rng.choice(VOICES)}+{rng.choice(variants)}".rstrip("+")
        return Manner(
            voice=voice,
            speed_wpm=rng.randint(*SPEEDS_WPM),
            pitch=rng.randint(*PITCHES),
            gap=rng.randint(*WORD_GAPS),
        )


def say(text: str, manner: Manner) -> Tensor:
    """Synthesise a text.

    Returns:
        ``[N]`` float32 at 24 kHz.

    Raises:
        RuntimeError: espeak-ng is not installed or refuses the voice.
    """
    command = [
        "espeak-ng", "--stdout", "-v", manner.voice, "-s", str(manner.speed_wpm),
        "-p", str(manner.pitch), "-g", str(manner.gap), text,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_LONGEST_S)  # noqa: S603 - a list, no shell
    except (OSError, subprocess.SubprocessError) as fault:
        raise RuntimeError(
            f"espeak-ng cannot say {text!r} as {manner.voice!r} ({fault}); "
            "install it (Debian: apt install espeak-ng)"
        ) from fault
    # a pipe's WAV announces no true length; its header is 44 bytes and says 22 050 Hz, 16 bits
    return decode_audio(_with_length(done.stdout))


def _with_length(wav: bytes) -> bytes:
    samples = len(wav) - 44
    return (
        wav[:4] + (36 + samples).to_bytes(4, "little") + wav[8:40]
        + samples.to_bytes(4, "little") + wav[44:]
    )  # fmt: skip
