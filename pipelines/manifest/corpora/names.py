"""What the setting ``manifest.corpus`` may be; `CORPORA` of `known` has a row for each corpus."""

from __future__ import annotations

NAMES = (
    "auto", "none", "common_voice", "fleurs", "ljspeech", "librispeech", "libritts", "mls", "vctk",
    "aishell", "gigaspeech", "tedlium", "switchboard", "audiofolder",
)  # fmt: skip
