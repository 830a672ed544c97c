"""How much silence stands for what could not be decoded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import pytest

from uniaudio2.audio.decoders.places import Places


def packet(duration: int) -> Any:
    made: Any = av.Packet(bytes(100))
    made.duration = duration
    return made


@pytest.mark.parametrize(("jump", "gap"), [(0, 0), (1, 1), (4096, 4096), (8000 * 61, 0), (-5, 0)])
def test_stamps_of_flac_tell_what_is_missing(jump: int, gap: int) -> None:
    places = Places("flac", 8000, Fraction(1, 8000))
    assert places.gap(500, 0) == 0  # a recording may begin anywhere
    assert places.gap(600, 100) == 0
    assert places.gap(700 + jump, 200) == gap
    assert places.gap(800 + jump, 300 + gap) == 0


def test_stamps_of_ogg_stray_a_little() -> None:
    places = Places("ogg", 48_000, Fraction(1, 48_000))
    assert places.gap(-312, 0) == 0
    assert places.gap(648, 648) == 0
    assert places.gap(1608 + 448, 1608) == 0
    assert places.gap(2568, 2568) == 0
    assert places.gap(3528 + 9600, 3528) == 9600


def test_containers_state_how_long_a_packet_is() -> None:
    places = Places("mov", 16_000, Fraction(1, 8000))
    places.failed(packet(512), 3, 3072)
    places.failed(packet(512), 3, 3072)
    assert places.pending == 2048
    assert places.gap(None, 3072) == 2048
    assert places.gap(None, 6144) == 0
    places.failed(packet(8000 * 3600), 3, 3072)
    assert places.pending == 0
