"""Audio in texts: what is taken for it, and what is the name of a file."""

from __future__ import annotations

import base64
import textwrap
from urllib.parse import quote

import numpy as np
import pytest

from tests.conftest import wav_bytes
from uniaudio2.audio.embedded import embedded_audio, is_embedded
from uniaudio2.errors import BadRow

SOUND = wav_bytes(np.linspace(-0.5, 0.5, 999))
TEXT = base64.b64encode(SOUND).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        "\r\n".join(textwrap.wrap(TEXT, 76)),
        base64.urlsafe_b64encode(SOUND).decode(),
        f"data:audio/wav;base64,{TEXT}",
        f"DATA:audio/x-wav;codecs=1;BASE64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:audio/wav,{quote(SOUND)}",
    ],
)
def test_text_that_holds_a_sound(text: str) -> None:
    assert is_embedded(text)
    assert embedded_audio(text, len(SOUND)) == SOUND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "clips/a.wav",
        "data/a.wav",
        "data:of the year,1.wav",
        "a" * 400,
        "/" * 400,
        "UklGR" * 40,
        f"{TEXT[:200]}.wav",
        f"https://host/{TEXT[:200]}",
        base64.b64encode(b"plain text, no sound" * 20).decode(),
        TEXT[:100],
    ],
)
def test_names_of_files(text: str) -> None:
    assert not is_embedded(text)


def test_what_does_not_decode_or_is_too_large() -> None:
    """Of the text itself nothing is repeated."""
    for text, most, kind in (
        (TEXT[:401], 10_000, "bad_manifest_row"),
        (f"data:audio/wav;base64,{TEXT[:200]}?", 10_000, "bad_manifest_row"),
        (TEXT, len(SOUND) - 3, "too_large"),
        (f"data:audio/wav,{quote(SOUND)}", 100, "too_large"),
    ):
        assert is_embedded(text)
        with pytest.raises(BadRow) as told:
            embedded_audio(text, most)
        assert told.value.kind == kind and TEXT[:20] not in told.value.message
