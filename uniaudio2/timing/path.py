"""Where words lie in a recording: the best order-keeping path between what each attended to and
where somebody speaks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from uniaudio2.config import REASON_RATE_HZ, RECON_RATE_HZ
from uniaudio2.timing.levels import FRAME_S, Floats

_UNHEARD = 0.25  # attention a second that every word may have anywhere
_DOUBT = 0.02  # a level never tells for sure
_UNBROKEN = 2.0  # what it costs that a word follows another while the level is high
_EDGE = 0.5  # what it costs to begin or to end a pause
_NEVER = -1e18
_SMOOTHED = 24  # frames to each side
_KERNEL = np.exp(-0.5 * (np.arange(-_SMOOTHED, _SMOOTHED + 1) / 6) ** 2)


def attention_density(reason: Floats, recon: Floats, frames: int, lead_s: float = 0.0) -> Floats:
    """Attention of words to codes of two rates as attention a second, every 10 ms.

    Args:
        reason: ``[W, Tq]``, what each word attends to reasoning codes, 5 Hz; Tq may be 0.
        recon: ``[W, T]``, to reconstruction codes, 12.5 Hz; T may be 0.
        frames: how many frames of 10 ms.
        lead_s: how much earlier than the middle of a word it attends.

    Returns:
        ``[W, frames]``, smoothed over neighbouring codes; each word's sums up to about 100.
    """
    at_s = (np.arange(frames) + 0.5) * FRAME_S
    density = np.zeros((len(reason), frames))
    for attention, rate in ((reason, REASON_RATE_HZ), (recon, RECON_RATE_HZ)):
        count = attention.shape[1]
        if count:
            middles_s = (np.arange(count) + 0.5) / rate + lead_s
            own = [np.interp(at_s, middles_s, word) for word in attention * rate]
            density += np.stack(own) if own else 0.0
    smooth = [
        np.convolve(np.pad(word, _SMOOTHED, mode="edge"), _KERNEL, "valid") for word in density
    ]
    density = np.stack(smooth) if smooth else density
    whole = density.sum(1, keepdims=True) * FRAME_S
    scaled: Floats = density / np.maximum(whole, 1e-9)
    return scaled


def place_words(density: Floats, speech: Floats | None) -> list[tuple[int, int]]:
    """Give each word its frames.

    Pauses lie before, between and behind words where the level is low; where a word follows
    another without one, the border lies where the attention changes over.

    Args:
        density: ``[W, F]`` of `attention_density`.
        speech: ``[F]`` of `speech_probability`; None where no level is known, and then words
            follow one another without pauses.

    Returns:
        first frame and the one behind the last of each word, in order, apart or touching.
    """
    words, frames = density.shape
    if words == 0:
        return []
    if frames < words:
        edges = np.linspace(0, frames, words + 1).astype(int).tolist()
        return list(pairwise(edges))
    heard = np.ones(frames) if speech is None else speech
    share = (density + _UNHEARD) / (density.sum(0) + words * _UNHEARD)
    states = np.empty((2 * words + 1, frames))  # a pause, a word, a pause and so on
    states[0::2] = np.log(1 - heard + _DOUBT)
    states[1::2] = np.log(share) + np.log(heard + _DOUBT)
    return _spans_of(_best_path(states, _UNBROKEN * heard), words)


def _best_path(states: Floats, unbroken: Floats) -> npt.NDArray[np.int64]:
    """The state of every frame, ``[F]``: it stays, goes on by one, or leaves out a pause."""
    count, frames = states.shape
    scores = np.full(count, _NEVER)
    scores[:2] = states[:2, 0]
    back = np.zeros((frames, count), dtype=np.int8)
    moves = np.full((3, count), _NEVER)
    index = np.arange(count)
    for frame in range(1, frames):
        moves[0] = scores
        moves[1, 1:] = scores[:-1] - _EDGE
        moves[2, 3::2] = scores[1:-2:2] - unbroken[frame]
        back[frame] = moves.argmax(0)
        scores = moves[back[frame], index] + states[:, frame]
    state = count - 1 if scores[-1] >= scores[-2] else count - 2
    path = np.empty(frames, dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= back[frame, state]
    return path


def _spans_of(path: npt.NDArray[np.int64], words: int) -> list[tuple[int, int]]:
    wanted = 2 * np.arange(words) + 1
    starts = np.searchsorted(path, wanted, side="left").tolist()
    stops = np.searchsorted(path, wanted, side="right").tolist()
    return list(zip(starts, stops, strict=True))
