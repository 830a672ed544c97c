"""The domain of nano: thirty-five words, eight kinds of sound, and the voices that say them."""

from __future__ import annotations

import random
from typing import Literal

WORDS = tuple(
    (
        "backward bed bird cat dog down eight five follow forward four go happy house learn "
        "left marvin nine no off on one right seven sheila six stop three tree two up visual "
        "wow yes zero"
    ).split()
)
EVENTS = (
    "a low tone",
    "a mid tone",
    "a high tone",
    "a rising sweep",
    "a falling sweep",
    "white noise",
    "a click train",
    "a chord",
)
THEN = " then "
SYMBOLS = (*WORDS, *EVENTS)
"""What a clip may hold, one class each for recognition losses; 0 stays free for the blank."""

MOST_WORDS = 6
MOST_EVENTS = 3

VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-us-nyc")
UNSEEN_VOICES = ("en-029", "en-gb-x-gbclan")
USUAL_VARIANTS = ("", "m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3")
UNSEEN_VARIANTS = ("m7", "m8", "f4", "f5")
NAMED_VARIANTS = tuple(
    (
        "Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco "
        "Mario Michael Mike Nguyen RicishayMax Storm Tweaky adam anika announcer antonio aunty "
        "belinda benjamin boris caleb david ed edward edward2 grandma grandpa gustave iven "
        "iven2 iven3 john kaukovalta klatt klatt2 klatt3 klatt4 linda marcelo max michel miguel "
        "norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 travis victor "
        "whisper zac croak"
    ).split()
)
SPEEDS_WPM = (120, 220)
PITCHES = (20, 80)
WORD_GAPS = (0, 15)


def random_text(rng: random.Random, kind: Literal["words", "events"]) -> str:
    """Draw one to six words, or the caption of one to three events; any of them, also repeated."""
    if kind == "words":
        return " ".join(rng.choices(WORDS, k=rng.randint(1, MOST_WORDS)))
    return THEN.join(rng.choices(EVENTS, k=rng.randint(1, MOST_EVENTS)))


def symbols_of(text: str) -> list[int]:
    """Classes of a text or a caption, each in 1..len(SYMBOLS).

    Raises:
        ValueError: it holds something outside the domain.
    """
    parts = text.split(THEN) if any(event in text for event in EVENTS) else text.split()
    return [SYMBOLS.index(part) + 1 for part in parts]
