"""Times of words and of segments of a transcript, from what its own ids attended to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from uniaudio2.lm.answers import ReadAnswer
from uniaudio2.timing.levels import FRAME_S, Floats, Packed, speech_probability
from uniaudio2.timing.path import attention_density, place_words
from uniaudio2.timing.words import ids_of_words, word_ranges
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import AUDIO

_PAUSE_S = 0.5  # a pause of this length ends a segment
_LONGEST_S, _MOST_LETTERS = 7.0, 84  # of a segment: two lines of a subtitle
_SENTENCE_ENDS = ".!?\u2026\u3002\uff01\uff1f\u0964"


@dataclass(frozen=True)
class TimedWord:
    """A word of a transcript.

    Attributes:
        start_s: where it begins in the recording that was heard.
        end_s: where it ends, later than it begins.
        first: its first letter in the text.
        last: the one behind its last.
        confidence: probability that the model gave all its ids, in 0..1.
    """

    start_s: float
    end_s: float
    first: int
    last: int
    confidence: float


def time_words(
    text: str,
    ids: Sequence[int],
    text_of: Callable[[Sequence[int]], str],
    read: ReadAnswer,
    frames: tuple[range, range],
    levels: Packed | None,
    lead_s: float = 0.0,
) -> list[TimedWord]:
    """Time the words of one answer.

    Args:
        text: what the ids say.
        ids: of the answer.
        text_of: decodes ids.
        read: of the same ids.
        frames: positions of the prompt that hold reasoning and reconstruction codes.
        levels: of what was heard; None where that is not known, which costs most of the precision.
        lead_s: of `AlignmentConfig`.
    """
    ranges = word_ranges(text)
    made = ids_of_words(ids, ranges, text_of)
    count = _frame_count(frames) if levels is None else len(levels)
    reason, recon = (_of_words(read.attention, made, own) for own in frames)
    density = attention_density(reason, recon, count, lead_s)
    speech = None if levels is None else speech_probability(levels)
    places = place_words(density, speech)
    return [
        TimedWord(
            start * FRAME_S,
            stop * FRAME_S,
            *ranges[number],
            math.exp(sum(float(read.log_probabilities[place]) for place in made[number])),
        )
        for number, (start, stop) in enumerate(places)
    ]


def _frame_count(frames: tuple[range, range]) -> int:
    reason, recon = map(len, frames)
    return 8 * recon if recon else 20 * reason  # frames of 10 ms


def _of_words(attention: Tensor, made: Sequence[Sequence[int]], own: range) -> Floats:
    """What each word attends to some positions, ``[W, len(own)]``: the mean of its ids."""
    if not made:
        return np.zeros((0, len(own)))
    part = attention[:, own.start : own.stop].double()
    means = [part[list(ids)].mean(0) if ids else part.mean(0) for ids in made]
    return np.stack([mean.numpy() for mean in means])


def frames_of(kind: Tensor, codes: Codes, has_reason: bool, has_recon: bool) -> tuple[range, range]:
    """Where a prompt holds the codes of the last recording in it, each stream between two markers.

    Args:
        kind: ``[S]`` uint8 of the prompt.
        codes: of that recording.
        has_reason: its reasoning codes are in the prompt.
        has_recon: its reconstruction codes are, behind them.
    """
    audio = (kind == AUDIO).nonzero()
    behind = int(audio[-1]) if len(audio) else 0  # the marker at the end
    recon = range(behind - len(codes.recon), behind) if has_recon else range(0)
    if has_recon:
        behind = recon.start - 2
    reason = range(behind - len(codes.reason), behind) if has_reason else range(0)
    return reason, recon


def segments_of(words: Sequence[TimedWord], text: str) -> list[tuple[int, int]]:
    """Group words to segments, as subtitles have them: one ends with a sentence, before a pause, or
    when it is full.

    Args:
        words: of one text.
        text: it.

    Returns:
        first word and the one behind the last of each segment.
    """
    if not words:
        return []
    edges = [0]
    for number, (word, following) in enumerate(pairwise(words), 1):
        begun = words[edges[-1]]
        ends = (
            text[word.first : word.last].rstrip("\"'\u201d\u2019)").endswith(tuple(_SENTENCE_ENDS))
            or following.start_s - word.end_s >= _PAUSE_S
            or following.end_s - begun.start_s > _LONGEST_S
            or following.last - begun.first > _MOST_LETTERS
        )
        if ends:
            edges.append(number)
    return list(pairwise([*edges, len(words)]))
