"""Every channel of a row's audio by itself, out of one fetch of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from actors.batch.audio_values import audio_name
from actors.batch.names import MOST_CHANNELS
from actors.inputs.audio import AudioSource, LoadedAudio, load_stream, source_of
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits, looked_for
from uniaudio2.audio.spans import SpanRule
from uniaudio2.errors import BadRow

_MOST_WAVES = 2  # a call; of files with more, waves would fill the memory that stages share


def load_channels(
    row: Mapping[str, Any],
    policy: AddressPolicy,
    max_duration_s: float,
    limits: Limits | None = None,
    rule: SpanRule | None = None,
    wanted: Sequence[int] | None = None,
) -> dict[int, LoadedAudio | BadRow]:
    """Fetch the audio of a row and decode it channel by channel, see `load_audio`.

    Args:
        row: a manifest row that chooses no channel.
        policy: where the manifest is, and what it may name.
        max_duration_s: longest span that is accepted.
        limits: of bytes and time.
        rule: cuts audio that is longer than a span of it; None leaves all audio in one piece.
        wanted: channels, counted from 0; None takes all that there are.

    Returns:
        what was loaded, by channel, or why that one cannot be. Of more channels than a call has no
        waves are held where the file can be read again.

    Raises:
        BadRow: the file cannot be opened, so that nothing is known of its channels, or has more
            than `MOST_CHANNELS`.
    """
    source = source_of(row, policy, limits)
    if source.files:
        return _load_files(source, row, max_duration_s, rule, wanted)
    found: dict[int, LoadedAudio | BadRow] = {}
    with looked_for(audio_name(row), policy), source.open(max_duration_s) as stream:
        if wanted is None:
            wanted = range(stream.channels)
        if len(wanted) > MOST_CHANNELS:
            raise BadRow(
                "bad_span",
                f"a file with {len(wanted)} channels; audio.channel=each takes at most "
                f"{MOST_CHANNELS}: choose one with the column audio_channel",
            )
        for channel in wanted:
            try:
                stream.take(channel)
                own = replace(source, channel=channel)
                found[channel] = _held(load_stream(stream, own, row, rule), own, len(wanted))
            except BadRow as error:
                found[channel] = error
    return found


def _load_files(
    source: AudioSource,
    row: Mapping[str, Any],
    max_duration_s: float,
    rule: SpanRule | None,
    wanted: Sequence[int] | None,
) -> dict[int, LoadedAudio | BadRow]:
    """Each of several files by itself: as long as it is, and with its own error."""
    wanted = range(len(source.files)) if wanted is None else wanted
    found: dict[int, LoadedAudio | BadRow] = {}
    for channel in wanted:
        try:
            own = source.member(channel)
            with own.open(max_duration_s) as stream:
                found[channel] = _held(load_stream(stream, own, row, rule), own, len(wanted))
        except BadRow as error:
            found[channel] = error
    return found


def _held(loaded: LoadedAudio, source: AudioSource, channels: int) -> LoadedAudio:
    """What was loaded, without its wave where there would be too many of them."""
    is_dropped = source.is_read_again and channels > _MOST_WAVES
    return replace(loaded, wave=None, source=source) if is_dropped else loaded
