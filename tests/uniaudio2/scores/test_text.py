"""Errors, speed and repetition of texts: like is compared with like."""

from __future__ import annotations

import jiwer
import pytest

from tests.uniaudio2.scores.clips import speech
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.spec import Absent
from uniaudio2.scores.text import repeated, score_errors, score_rate, score_repetition
from uniaudio2.scores.words import words_of


def errors(text: str, transcript: str) -> tuple[float, float]:
    found = score_errors(Heard(None, text, transcript))
    assert isinstance(found["score_wer"], float)
    assert isinstance(found["score_cer"], float)
    return found["score_wer"], found["score_cer"]


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ("Hello, World!", "hello world"),
        ("one\ttwo\nthree\u00a0four", "one two three four"),
        ("O'Brien\u2019s", "o'brien's"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff21\uff22\uff23 12", "abc 12"),
        ("\u4eca\u65e5\u306f", "\u4eca \u65e5 \u306f"),
    ],
)
def test_what_nobody_hears_is_no_error(text: str, transcript: str) -> None:
    assert errors(text, transcript) == (0.0, 0.0)


def test_errors_are_those_of_jiwer_on_plain_words() -> None:
    text, heard = "the cat sat on the mat today", "the bat sat on mat today or so"
    wer, cer = errors(text, heard)
    assert wer == pytest.approx(jiwer.wer(text, heard))
    assert cer == pytest.approx(jiwer.cer(text.replace(" ", ""), heard.replace(" ", "")))


def test_scripts_without_spaces_count_letters() -> None:
    wer, cer = errors("\u4eca\u65e5\u306f\u6674\u308c", "\u4eca\u65e5\u306f\u96e8\u308c")
    assert (wer, cer) == (pytest.approx(0.2), pytest.approx(0.2))


def test_nothing_heard_is_all_wrong_and_nothing_said_has_no_rate() -> None:
    assert errors("one two", "") == (1.0, 1.0)
    assert errors("one", "one two three")[0] == 2.0
    for text in ("", " ", "?!"):
        with pytest.raises(Absent, match="no words"):
            score_errors(Heard(None, text, "one"))
    with pytest.raises(Absent, match="shorter"):
        score_errors(Heard(None, "a" * 100_001, "one"))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("one two three", 0.0),
        ("no no no", 2 / 3),
        ("we go home we go home we go home", 6 / 9),
        ("go home, we go home. Now we rest", 0.0),
        ("\u54c8\u54c8\u54c8\u54c8", 3 / 4),
    ],
)
def test_repetition_is_what_says_again_what_stands_before_it(text: str, share: float) -> None:
    found = score_repetition(Heard(None, text))["score_repetition"]
    assert found == pytest.approx(share)


def test_long_loops_are_found() -> None:
    loop = [str(number) for number in range(32)]
    assert len(repeated(loop * 3)) == 64
    assert not repeated([str(number) for number in range(500)])


def test_rate_is_words_for_each_second_of_speech() -> None:
    wave, text = speech(0), "one two three four"
    heard = Heard(wave, text)
    found = score_rate(heard)
    assert found["score_words_per_s"] == pytest.approx(4 / heard.speech.speech_s)
    assert found["score_letters_per_s"] == pytest.approx(15 / heard.speech.speech_s)
    assert len("".join(words_of(text))) == 15
    with pytest.raises(Absent, match="nobody speaks"):
        score_rate(Heard(0 * wave, text))
