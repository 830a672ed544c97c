from __future__ import annotations

import pytest
import torch

from uniaudio2.lm.answers import ReadAnswer
from uniaudio2.timing.times import TimedWord, frames_of, segments_of, time_words
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import AUDIO, TEXT

TEXT_OF = ["", "one", " two", " two."]


def spoken(*words: tuple[str, float, float]) -> tuple[list[TimedWord], str]:
    text, timed = "", []
    for word, start_s, end_s in words:
        text += " " if text else ""
        timed.append(TimedWord(start_s, end_s, len(text), len(text) + len(word), 1.0))
        text += word
    return timed, text


def segments(*words: tuple[str, float, float]) -> list[str]:
    timed, text = spoken(*words)
    return [text[timed[a].first : timed[b - 1].last] for a, b in segments_of(timed, text)]


def test_segments_end_with_sentences_and_before_pauses() -> None:
    assert segments(("Yes.", 0, 0.3), ("no", 0.3, 0.5), ("go", 1.0, 1.2), ("on", 1.4, 1.6)) == [
        "Yes.", "no", "go on",
    ]  # fmt: skip
    assert segments(('"Yes."', 0, 0.3), ("no", 0.3, 0.5)) == ['"Yes."', "no"]
    assert segments() == []


def test_segments_are_no_longer_than_a_subtitle() -> None:
    long = segments(*((f"word{n}", 0.9 * n, 0.9 * n + 0.8) for n in range(30)))
    assert len(long) > 3
    assert {len(one.split()) for one in long} <= {7, 2}
    dense = segments(*(("w" * 20, 0.1 * n, 0.1 * n + 0.1) for n in range(9)))
    assert max(map(len, dense)) <= 84


def test_a_word_has_the_time_and_the_probability_of_its_ids() -> None:
    attention = torch.zeros(3, 2 + 14)
    attention[1, 2 + 1], attention[2, 2 + 5] = 1.0, 1.0  # frames of 80 ms
    read = ReadAnswer(attention, torch.tensor([-5.0, -0.1, -0.2]))
    words = time_words(
        "one two", [0, 1, 2], lambda ids: "".join(TEXT_OF[one] for one in ids), read,
        (range(0), range(2, 2 + 12)), None,
    )  # fmt: skip
    assert [(one.first, one.last) for one in words] == [(0, 3), (4, 7)]
    assert [one.confidence for one in words] == pytest.approx([0.9048, 0.8187], abs=1e-4)
    assert words[0].start_s == 0
    assert words[0].end_s == words[1].start_s == pytest.approx(0.28, abs=0.03)
    assert words[1].end_s == 0.96


@pytest.mark.parametrize(
    ("has_reason", "has_recon", "places"),
    [
        (True, True, (range(4, 6), range(8, 13))),
        (True, False, (range(4, 6), range(0))),
        (False, True, (range(0), range(4, 9))),
    ],
)
def test_codes_lie_between_their_markers(
    has_reason: bool, has_recon: bool, places: tuple[range, range]
) -> None:
    frames = has_reason * (2 + 2) + has_recon * (5 + 2)
    kind = torch.tensor([TEXT] * 3 + [AUDIO] * frames + [TEXT] * 2)
    codes = Codes(torch.zeros(2, 8), torch.zeros(5, 8))
    assert frames_of(kind, codes, has_reason, has_recon) == places
