"""Scores of texts: errors of what is heard against what should be said, speed, repetition."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from uniaudio2.scores.heard import Heard
from uniaudio2.scores.spec import Absent, Scores
from uniaudio2.scores.words import words_of

_LONGEST_REPEATED = 32  # words
_LEAST_SPEECH_S = 0.25
_MOST_LETTERS = 100_000


def score_errors(heard: Heard) -> Scores:
    """Word and character errors of the transcript, each over the length of the text.

    Words are those of `words_of`; characters are theirs, spaces left out.

    Raises:
        Absent: the text has no words.
    """
    wanted, given = words_of(heard.text or ""), words_of(heard.transcript or "")
    if not wanted:
        raise Absent("the text has no words to compare with")
    letters, heard_letters = "".join(wanted), "".join(given)
    if max(len(letters), len(heard_letters)) > _MOST_LETTERS:
        raise Absent(f"a text of more than {_MOST_LETTERS:,} letters; compare shorter pieces")
    return {
        "score_wer": Levenshtein.distance(wanted, given) / len(wanted),
        "score_cer": Levenshtein.distance(letters, heard_letters) / len(letters),
    }


def score_logprob(heard: Heard) -> Scores:
    """Mean log-probability of the tokens that were drawn, to three digits.

    Sums of floats depend on what else is in a batch by less than a millionth.
    """
    assert heard.mean_logprob is not None  # noqa: S101 - whoever calls has looked
    return {"score_mean_logprob": round(heard.mean_logprob, 3)}


def score_rate(heard: Heard) -> Scores:
    """Words and letters of the text for each second in which somebody speaks.

    Raises:
        Absent: nobody speaks, or the text has no words.
    """
    words = words_of(heard.text or "")
    if not words:
        raise Absent("the text has no words")
    speech_s = heard.speech.speech_s
    if speech_s < _LEAST_SPEECH_S:
        raise Absent("nobody speaks")
    return {
        "score_words_per_s": len(words) / speech_s,
        "score_letters_per_s": sum(map(len, words)) / speech_s,
    }


def score_repetition(heard: Heard) -> Scores:
    """Share of the words, of the transcript where there is one, that say again what was said
    directly before them.

    Raises:
        Absent: the text has no words.
    """
    words = words_of(heard.said or "")
    if not words:
        raise Absent("the text has no words")
    return {"score_repetition": len(repeated(words)) / len(words)}


def repeated(words: Sequence[str]) -> set[int]:
    """Places of words in a run of 1 to 32 that says the run before it again."""
    found: set[int] = set()
    for length in range(1, min(_LONGEST_REPEATED, len(words) // 2) + 1):
        equal = 0
        for place in range(length, len(words)):
            equal = equal + 1 if words[place] == words[place - length] else 0
            if equal >= length:
                found.update(range(place - length + 1, place + 1))
    return found
