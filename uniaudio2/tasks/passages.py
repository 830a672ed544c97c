"""Cuts a long text into passages that a model can say at once: at sentences, else at clauses, else
at words.

A passage is what one request is asked to say. Cuts lie behind punctuation or between words, so that
passages one behind the other are the text; of equally few ones those of most even lengths are
taken. Nothing is drawn: one text is always cut alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from uniaudio2.frozen import Frozen

End = Literal["sentence", "clause", "word"]

_UNSPACED = re.compile(  # letters of scripts that put no spaces between words
    "[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)
_SYLLABIC = 3.5  # Latin letters that take as long to say as one of these
_DIGIT = 4.0  # "7" is said as "seven"
_SIGN = 5.0  # "%" is said as "percent"
_CLOSING = "\"'\u2019\u201d\u00bb)\\]}\u300d\u300f\uff09\u3011\u300b\u3009"
_SENTENCES = re.compile(
    rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSING}]*(?=\s)|[\u3002\uff01\uff1f\uff61]+[{_CLOSING}]*"
    r"|\n\s*\n"
)
_CLAUSES = re.compile(
    rf"[,;:\u060c\u061b\u2014\u2013]+[{_CLOSING}]*(?=\s)|[\u3001\uff0c\uff1b\uff1a]+[{_CLOSING}]*"
    r"|\u2014|\n"
)
_SPACES = re.compile(r"\s+")
_LAST_WORD = re.compile(r"(\S+)$")
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr rev gen col sgt capt lt hon gov sen rep pres fig figs vol vols pp "
    "ed eds vs etc e.g i.e cf approx dept est inc ltd co corp mt ave blvd rd jan feb mar apr jun "
    "jul aug sep sept oct nov dec a.m p.m u.s u.k bzw z.b d.h usw ca nr str hr fr hrn bd abb m mme "
    "mlle".split()
)
_BEFORE_NUMBERS = frozenset("no nos nr p art sec ch vol fig".split())


class PassageRule(Frozen):
    """How long texts are cut; lengths are in letters, see `spoken_letters`.

    Attributes:
        longest: a text of more is cut.
        wanted: most of a passage of one that is cut.
        most: a text of more is refused.
        sentence_pause_s: silence behind a passage that ends a sentence.
        clause_pause_s: behind one that ends at a comma, colon or the like.
        word_pause_s: behind one that ends between words.
    """

    longest: float = Field(gt=0)
    wanted: float = Field(gt=0)
    most: float = Field(gt=0)
    sentence_pause_s: float = Field(0.4, ge=0, le=10)
    clause_pause_s: float = Field(0.2, ge=0, le=10)
    word_pause_s: float = Field(0.06, ge=0, le=10)

    @model_validator(mode="after")
    def _ordered(self) -> PassageRule:
        if self.wanted > self.longest:
            raise ValueError(
                f"passages of {self.wanted:g} letters are longer than what is not cut, "
                f"{self.longest:g}; lower the one or raise the other"
            )
        return self

    def pause_s(self, end: End) -> float:
        """Silence behind a passage, by where it ends."""
        pauses = {"sentence": self.sentence_pause_s, "clause": self.clause_pause_s}
        return pauses.get(end, self.word_pause_s)


@dataclass(frozen=True)
class Passage:
    """A stretch of a text.

    Attributes:
        start: index of its first character in the text.
        stop: index behind its last one; the next passage begins there.
        end: what it ends with.
    """

    start: int
    stop: int
    end: End

    def of(self, text: str) -> str:
        """What is said, without spaces around it."""
        return text[self.start : self.stop].strip()


@lru_cache(maxsize=65_536)
def _letters(character: str) -> float:
    if _UNSPACED.match(character):
        return 0.0 if unicodedata.category(character)[0] == "M" else _SYLLABIC
    kind = unicodedata.category(character)
    if kind[0] == "L":
        return 1.0
    if kind[0] == "N":
        return _DIGIT
    return _SIGN if kind[0] == "S" or character in "%&@#" else 0.0


def spoken_letters(text: str) -> float:
    """Length of a text as it is said, in letters of a script like Latin.

    Spaces and punctuation count nothing, digits and signs as the words that they are said as, and
    letters of scripts that put no spaces between words as syllables.
    """
    return sum(map(_letters, text))


def cut_passages(text: str, rule: PassageRule) -> list[Passage]:
    """Cut a text; one passage of all of it where it is not too long.

    Args:
        text: to be said.
        rule: says how long passages may be.

    Returns:
        at least one, in order: the first begins at 0, each where the one before it stops, and the
        last stops at the end. None is longer than asked but one that is a single letter, and each
        has something to say where the text has.
    """
    whole = Passage(0, len(text), "sentence")
    if spoken_letters(text) <= rule.longest:
        return [whole]
    return _cut(text, whole, rule.wanted, 0) or [whole]


def _cut(text: str, piece: Passage, wanted: float, level: int) -> list[Passage]:
    """Passages of a piece, by the breaks of a level and where these are too few of the next one.

    What is too long between two breaks is cut by itself: what surrounds it keeps its sentences.
    """
    pieces = list(_between(piece, _breaks(text, piece, level), level))
    found: list[Passage] = []
    run: list[Passage] = []
    for one in pieces:
        if spoken_letters(text[one.start : one.stop]) <= wanted or level == len(_LEVELS) - 1:
            run.append(one)
            continue
        found += _packed(text, run, wanted)
        found += _cut(text, one, wanted, level + 1)
        run = []
    found += _packed(text, run, wanted)
    return _with_words(text, found)


def _between(piece: Passage, breaks: Iterable[int], level: int) -> Iterator[Passage]:
    """The stretches of a piece between breaks; the last ends as the piece does."""
    inside = sorted({at for at in breaks if piece.start < at < piece.stop})
    bounds = [piece.start, *inside, piece.stop]
    for start, stop in pairwise(bounds):
        yield Passage(start, stop, piece.end if stop == piece.stop else _LEVELS[level])


def _packed(text: str, pieces: Sequence[Passage], wanted: float) -> list[Passage]:
    """As few passages of whole pieces as there can be, none longer than wanted, and of these as
    even ones as there can be."""
    if not pieces:
        return []
    sizes = [spoken_letters(text[one.start : one.stop]) for one in pieces]
    low, high = max(sizes), max(wanted, max(sizes))
    count = len(_filled(sizes, high))
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if len(_filled(sizes, middle)) <= count else (middle, high)
    bounds = _filled(sizes, high)
    return [
        Passage(pieces[first].start, pieces[last - 1].stop, pieces[last - 1].end)
        for first, last in bounds
    ]


def _filled(sizes: Sequence[float], most: float) -> list[tuple[int, int]]:
    """Runs of sizes, each filled as far as it goes: first index, and the one behind the last."""
    runs, first, held = [], 0, 0.0
    for place, size in enumerate(sizes):
        if held + size > most and place > first:
            runs.append((first, place))
            first, held = place, 0.0
        held += size
    return [*runs, (first, len(sizes))]


def _with_words(text: str, passages: Sequence[Passage]) -> list[Passage]:
    """Passages, what has nothing to say put to the one before it, or behind it at the start."""
    found: list[Passage] = []
    for one in passages:
        is_empty = not spoken_letters(text[one.start : one.stop])
        if found and (is_empty or not spoken_letters(text[found[-1].start : found[-1].stop])):
            found[-1] = Passage(found[-1].start, one.stop, one.end)
        else:
            found.append(one)
    return found


def _breaks(text: str, piece: Passage, level: int) -> Iterator[int]:
    """Where a piece may be cut: 0 between sentences, 1 clauses, 2 words, 3 letters."""
    if level == 0:
        cased = any(map(str.isupper, text[piece.start : piece.stop]))
        for mark in _SENTENCES.finditer(text, piece.start, piece.stop):
            if _ends_sentence(text, mark, piece, cased):
                yield mark.end()
    elif level == 1:
        yield from (mark.end() for mark in _CLAUSES.finditer(text, piece.start, piece.stop))
    elif level == 2:
        yield from (mark.end() for mark in _SPACES.finditer(text, piece.start, piece.stop))
        yield from _unspaced_breaks(text, piece)
    else:
        for at in range(piece.start + 1, piece.stop):
            if not _belongs_before(text, at):
                yield at


def _ends_sentence(text: str, mark: re.Match[str], piece: Passage, cased: bool) -> bool:
    """Whether a mark ends a sentence; a full stop may belong to an abbreviation or a number."""
    if mark[0].strip("\"')") != ".":
        return True
    last = _LAST_WORD.search(text, max(piece.start, mark.start() - 20), mark.start())
    word = last[1].strip("\"'(").casefold() if last else ""
    behind = text[mark.end() : mark.end() + 40].lstrip()
    follows = behind[:1]
    if word in _BEFORE_NUMBERS and follows.isdigit():
        return False
    if word in _ABBREVIATIONS - _BEFORE_NUMBERS or (len(word) == 1 and word.isalpha() and cased):
        return False
    return not (cased and follows.islower())


def _unspaced_breaks(text: str, piece: Passage) -> Iterator[int]:
    """Between letters of scripts without spaces, where nothing belongs to the letter before."""
    for mark in _UNSPACED.finditer(text, piece.start, piece.stop - 1):
        at = mark.end()
        if _UNSPACED.match(text[at]) and not _belongs_before(text, at):
            yield at


def _belongs_before(text: str, at: int) -> bool:
    """Whether a character goes with the one before it: marks, joiners, small kana, punctuation."""
    kind = unicodedata.category(text[at])
    before = text[at - 1]
    joined = "\u200d" in (text[at], before) or before in _LEADING_VOWELS
    return joined or kind[0] in "MPZ" or text[at] in "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮー"


_LEADING_VOWELS = "เแโใไເແໂໃໄ"  # of Thai and Lao, written before the letter that they follow
_LEVELS: tuple[End, ...] = ("sentence", "clause", "word", "word")
