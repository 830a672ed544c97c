"""Speech whose words begin and end at known times, made by espeak-ng's library.

Its events tell when each sound of a text begins. Voices and texts are those of a group of
`uniaudio2.training.data`, drawn with seeds that training never uses.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from uniaudio2.training.data.domain import random_text
from uniaudio2.training.data.speech import Manner

RATE_HZ = 24_000
_LIBRARY = "libespeak-ng.so.1"
_RETRIEVAL, _PHONEME_EVENTS, _UTF8 = 1, 1, 1
_WORD, _PHONEME = 1, 7
_SPEED, _PITCH, _GAP = 1, 3, 7
_FRAME = 120  # 5 ms
_SILENT = 1e-4  # of the loudest frame's energy: 40 dB below
_TAIL_S = 0.25  # recordings go on a little behind their last word

Wave = npt.NDArray[np.float32]
Times = list[tuple[float, float]]


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_ms", ctypes.c_int), ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p), ("id", _Id),
    )  # fmt: skip


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("languages", ctypes.c_char_p), ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte), ("age", ctypes.c_ubyte), ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte), ("score", ctypes.c_int), ("spare", ctypes.c_void_p),
    )  # fmt: skip


@dataclass(frozen=True)
class TimedClip:
    """A clip of speech.

    Attributes:
        words: that are spoken.
        times: start and end of each in seconds.
        wave: ``[N]`` float32 at 24 kHz.
    """

    words: tuple[str, ...]
    times: Times
    wave: Wave


class Speaker:
    """Says texts and tells when.

    Raises:
        SystemExit: espeak-ng's library is not installed.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as fault:
            raise SystemExit(
                f"{_LIBRARY} makes the clips and tells their times; install it "
                "(Debian: apt install libespeak-ng1)"
            ) from fault
        self._rate = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONEME_EVENTS)
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._sounds: list[tuple[int, int, bytes]] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback = kind(self._take)  # held, for the library keeps no reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        place = 0
        while events and events[place].type:
            event = events[place]
            name = event.id.string if event.type == _PHONEME else b""
            self._sounds.append((event.type, event.sample, name))
            place += 1
        return 0

    def say(self, text: str, manner: Manner) -> tuple[Wave, Times]:
        """Say a text.

        Returns:
            ``[N]`` at 24 kHz, and start and end of each word; [] where the library said two words
            as one.
        """
        self._blocks, self._sounds = [], []
        voice = manner.voice.encode()
        if self._library.espeak_SetVoiceByName(voice):
            asked = _Voice(languages=voice)  # as its own command has it
            self._library.espeak_SetVoiceByProperties(ctypes.byref(asked))
        for parameter, value in (
            (_SPEED, manner.speed_wpm), (_PITCH, manner.pitch), (_GAP, manner.gap),
        ):  # fmt: skip
            self._library.espeak_SetParameter(parameter, value, 0)
        said = text.encode() + b"\0"
        self._library.espeak_Synth(said, len(said), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        wave = np.concatenate(self._blocks).astype(np.float32) / 32768
        times = [(first / self._rate, last / self._rate) for first, last in self._words()]
        made: Wave = soxr.resample(wave, self._rate, RATE_HZ)
        return made, times if len(times) == len(text.split()) else []

    def _words(self) -> Iterator[tuple[int, int]]:
        """First sample of each word, and the one behind its last: a pause or the next word."""
        begins = [place for place, one in enumerate(self._sounds) if one[0] == _WORD]
        for begin, stop in zip(begins, [*begins[1:], len(self._sounds)], strict=True):
            own = [one for one in self._sounds[begin:stop] if one[0] == _PHONEME]
            spoken = [place for place, one in enumerate(own) if not one[2].startswith(b"_")]
            behind = own[spoken[-1] + 1 :] if spoken else []
            after = self._sounds[stop : stop + 1]
            if behind or (spoken and after):
                yield own[spoken[0]][1], (behind or after)[0][1]


def connected(speaker: Speaker, rng: random.Random, group: str) -> TimedClip | None:
    """A text of one to six words, said in one go as training has it; None where it has no times."""
    text = random_text(rng, "words")
    wave, times = speaker.say(text, Manner.draw(rng, group))
    tail = np.zeros(round(_TAIL_S * RATE_HZ), np.float32)
    return TimedClip(tuple(text.split()), times, np.concatenate([wave, tail])) if times else None


def apart(speaker: Speaker, rng: random.Random, group: str) -> TimedClip:
    """One to six words, each said by itself at its own speed, with gaps of 0.03 to 0.4 s."""
    words = tuple(random_text(rng, "words").split())
    manner = Manner.draw(rng, group)
    pieces, times, at = [], [], 0
    for word in words:
        speed = manner.draw(rng, group).speed_wpm
        own_manner = manner.model_copy(update={"speed_wpm": speed, "gap": 0})
        own = _trimmed(speaker.say(word, own_manner)[0])
        gap = np.zeros(round(rng.uniform(0.03, 0.4) * RATE_HZ), np.float32)
        times.append((at / RATE_HZ, (at + len(own)) / RATE_HZ))
        pieces += [own, gap]
        at += len(own) + len(gap)
    tail = np.zeros(round(_TAIL_S * RATE_HZ), np.float32)
    return TimedClip(words, times, np.concatenate([*pieces, tail]))


def _trimmed(wave: Wave) -> Wave:
    frames = wave[: len(wave) // _FRAME * _FRAME].reshape(-1, _FRAME)
    energies = np.square(frames).mean(1)
    loud = np.flatnonzero(energies > _SILENT * energies.max())
    return wave[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME]


@lru_cache
def _speaker() -> Speaker:
    """The one of this process: a second start of the library says nothing any more."""
    return Speaker()


def clips(kind: str, count: int, groups: tuple[str, ...], seed: int) -> list[TimedClip]:
    """Clips of a kind, ``connected`` or ``apart``, in the voices of some groups by turns."""
    speaker, rng = _speaker(), random.Random(seed)  # noqa: S311 - what is said is no secret
    make = {"connected": connected, "apart": apart}[kind]
    made: list[TimedClip] = []
    while len(made) < count:
        clip = make(speaker, rng, groups[len(made) % len(groups)])
        if clip is not None:
            made.append(clip)
    return made


def noisy(clip: TimedClip, snr_db: float, seed: int) -> TimedClip:
    """A clip with white noise so far below its speech."""
    rng = np.random.default_rng(seed)
    level = np.sqrt(np.square(clip.wave).mean()) * 10 ** (-snr_db / 20)
    noise = level * rng.standard_normal(len(clip.wave))
    return TimedClip(clip.words, clip.times, (clip.wave + noise).astype(np.float32))


def joined(some: list[TimedClip], seed: int) -> TimedClip:
    """One long recording of clips, with pauses of 0.3 to 2.5 s between them."""
    rng = random.Random(seed)  # noqa: S311 - as above
    words: list[str] = []
    pieces, times, at = [], [], 0
    for clip in some:
        gap = np.zeros(round(rng.uniform(0.3, 2.5) * RATE_HZ), np.float32)
        words += clip.words
        times += [(at / RATE_HZ + start, at / RATE_HZ + end) for start, end in clip.times]
        pieces += [clip.wave, gap]
        at += len(clip.wave) + len(gap)
    return TimedClip(tuple(words), times, np.concatenate(pieces))
