"""Channels in the words of manifests."""

from __future__ import annotations

from typing import Any

import pytest

from actors.inputs.channels import channel_of
from uniaudio2.errors import BadRow


@pytest.mark.parametrize(
    ("row", "channel"),
    [
        ({}, None),
        ({"audio_channel": None, "channel": None}, None),
        ({"audio_channel": 0, "channel": 1}, 0),
        ({"audio_channel": 1.0}, 1),
        ({"audio_channel": "1"}, 1),
        ({"audio_channel": "mix", "channel": 1}, "mix"),
        ({"audio_channel": "right"}, 1),
        ({"channel": 1}, 1),
        ({"channel": "A"}, 0),
        ({"channel": "b "}, 1),
        ({"channel": "BBC"}, None),
        ({"channel": float("nan")}, None),
        ({"channel": [0, 1]}, None),
        ({"channel": True}, None),
        ({"channel_selector": "average"}, "mix"),
        ({"channel_selector": 1}, 1),
        ({"channel_selector": [1]}, 1),
        ({"channel_selector": "[0]"}, 0),
    ],
)
def test_channels(row: dict[str, Any], channel: int | str | None) -> None:
    assert channel_of(row) == channel


@pytest.mark.parametrize(
    "row",
    [
        {"audio_channel": "front"},
        {"audio_channel": 0.5},
        {"audio_channel": float("nan")},
        {"audio_channel": "[" * 10_000},
        {"channel_selector": [0, 1]},
        {"channel_selector": {}},
        {"channel_selector": "x" * 10_000},
    ],
)
def test_what_is_no_channel_is_said(row: dict[str, Any]) -> None:
    with pytest.raises(BadRow, match="give a whole number from 0") as caught:
        channel_of(row)
    assert len(str(caught.value)) < 300
