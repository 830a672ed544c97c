"""How alike two voices are: that of what was made, and that of the recording it should sound like.

Both are brought to the same level first, and only speech counts: the encoder makes a plausible
vector of silence and noise too, and of little speech one that is like nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from uniaudio2.scores.dnsmos import at_level
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.models.onnx_model import Array
from uniaudio2.scores.models.vad import voice_activity
from uniaudio2.scores.models.voice_encoder import VOICE_RATE, voice_encoder
from uniaudio2.scores.spec import Absent, Scores

LEVEL_DB = -30.0
"""RMS level in dBFS that speech is brought to, up or down; the encoder learnt from about that."""
LEAST_SPEECH_S = 1.6
MOST_SPEECH_S = 60.0
"""What comes behind that much speech does not count: a voice is known by then."""


class SpeakerSimilarity:
    """Compares a row's sound with its reference recording."""

    def __init__(self) -> None:
        voice_encoder()  # what is missing is told when it is made

    def __call__(self, heard: Heard) -> Scores:
        """Cosine of the two voices.

        Raises:
            Absent: there is no reference, or too little speech in one of the two.
        """
        if not isinstance(heard.reference, Heard):
            raise Absent(heard.reference or "the row has no reference recording")
        with heard.reference.lock:  # several rows may have it; it is heard once
            reference = _voice(heard.reference, "the reference")
        cosine = float(np.dot(_voice(heard, "the sound").astype(np.float64), reference))
        return {"score_speaker_similarity": min(max(cosine, -1.0), 1.0)}


def _voice(heard: Heard, name: str) -> Array:
    """The voice of a recording, ``[256]``, computed once."""
    if heard.voice is None:
        heard.voice = voice_encoder().embed(speech_at_level(heard, name))
    return heard.voice


def known_voices(waves: Iterable[Tensor]) -> list[Heard | str]:
    """References of which the voice alone is kept, for many rows to be compared with.

    Args:
        waves: recordings, each ``[N]`` float32 at 24 kHz.

    Returns:
        of each a reference for `Heard`, or why it has no voice.
    """
    found: list[Heard | str] = []
    for wave in waves:
        known = Heard(None)
        try:
            known.voice = _voice(Heard(wave), "the reference")
            found.append(known)
        except Absent as absent:
            found.append(absent.reason)
    return found


def speech_at_level(heard: Heard, name: str = "the recording") -> Array:
    """All that is spoken, one stretch behind the other, at `LEVEL_DB`.

    Args:
        heard: a recording.
        name: of it, for messages.

    Returns:
        ``[N]`` float32 at 16 kHz, no more than `MOST_SPEECH_S`.

    Raises:
        Absent: less than `LEAST_SPEECH_S` is spoken.
    """
    wave = at_level(heard.wave_16k, heard.active_level_db)  # what is speech depends on it, too
    speech = voice_activity().hear(wave)
    if not speech.is_spoken:
        raise Absent(f"nobody speaks in {name}")
    if speech.speech_s < LEAST_SPEECH_S:
        raise Absent(
            f"{name} has {speech.speech_s:.2f} s of speech; a voice is known by {LEAST_SPEECH_S} s"
        )
    spoken = np.concatenate([wave[start:stop] for start, stop in speech.segments])
    spoken = spoken[: int(MOST_SPEECH_S * VOICE_RATE)]
    level = float(np.sqrt(np.mean(np.square(spoken, dtype=np.float64))))
    scaled: Array = (spoken * np.float32(10 ** (LEVEL_DB / 20) / level)).astype(np.float32)
    return scaled
