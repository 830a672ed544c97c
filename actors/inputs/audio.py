"""The audio of a row: whole in memory when it is short, read again where it is needed when long."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf
from typing import Any

import numpy as np
from torch import Tensor

from actors.batch.sample_arrays import encoded_samples
from actors.batch.schema import AUDIO_COLUMNS, INPUT_SHORT_BY_S, RATE_COLUMNS
from actors.inputs.channels import channel_of
from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import Limits, looked_for, open_uri
from uniaudio2.audio.embedded import embedded_audio, is_embedded
from uniaudio2.audio.files import whole
from uniaudio2.audio.resampling import SAMPLE_RATE, joined, resample
from uniaudio2.audio.spans import Levels, SpanRule, Spans, find_spans
from uniaudio2.audio.stream import SHORT_S, AudioStream, finite
from uniaudio2.errors import BadRow

Marks = dict[str, float | bool | str]
WHOLE_S = 60.0  # longer audio does not travel between stages


@dataclass(frozen=True)
class AudioSource:
    """Which part of which file is meant; one of `uri` and `data` is there.

    Wherever it is opened, `policy` says what the manifest may name, and `limits` how much of it is
    read and for how long.
    """

    uri: str | None
    data: bytes | None
    start_s: float
    end_s: float | None
    channel: int | None = None
    policy: AddressPolicy = field(default_factory=AddressPolicy)
    limits: Limits = field(default_factory=Limits)

    @staticmethod
    def of_cell(value: Mapping[str, Any]) -> AudioSource:
        """Undo `asdict`."""
        policy = {**value["policy"], "allow": tuple(value["policy"]["allow"])}
        own = {"policy": AddressPolicy(**policy), "limits": Limits(**value["limits"])}
        return AudioSource(**{**value, **own})

    @contextmanager
    def open(self, max_duration_s: float = inf) -> Iterator[AudioStream]:
        """The audio as a stream; see `AudioStream` and `open_uri` for what is raised."""
        if self.uri is None:
            with AudioStream(
                io.BytesIO(self.data or b""), self.start_s, self.end_s, max_duration_s, self.channel
            ) as stream:
                yield stream
            return
        with (
            open_uri(self.uri, self.limits, self.policy) as file,
            AudioStream(file, self.start_s, self.end_s, max_duration_s, self.channel) as stream,
        ):
            yield stream


@dataclass(frozen=True)
class LoadedAudio:
    """The audio of a row.

    Attributes:
        samples: its length at 24 kHz.
        wave: ``[N]`` float32 at 24 kHz, or None for long audio.
        source: where long audio is, else None.
        spans: what of it is to be heard, piece by piece; None for all of it at once.
        marks: what is to be known about how it was read, see `AudioStream.marks`.
    """

    samples: int
    wave: Tensor | None = None
    source: AudioSource | None = None
    spans: Spans | None = None
    marks: Marks = field(default_factory=dict)


def source_of(
    row: Mapping[str, Any], policy: AddressPolicy, limits: Limits | None = None
) -> AudioSource:
    """What a manifest row names.

    Args:
        row: `audio` is a path, a URI, bytes, ``{"bytes", "path"}``, samples, see `encoded_samples`,
            or text that holds audio, see `is_embedded`; `channel_of` says which columns choose a
            channel instead of the mix of all.
        policy: where the manifest is, and what it may name.
        limits: of bytes and time.

    Raises:
        BadRow: `missing_value`, `bad_manifest_row`, `bad_span` or `forbidden_address`.
    """
    limits = limits or Limits()
    value = _audio_value(row)
    start_s, end_s = span_of(row)
    wanted = channel_of(row)
    channel = None if wanted == "mix" else wanted
    if isinstance(value, str) and is_embedded(value):
        value = embedded_audio(value, limits.max_bytes)
    if isinstance(value, bytes):
        return AudioSource(None, value, start_s, end_s, channel, policy, limits)
    uri = resolve(value, policy.base)
    policy.check(uri)
    return AudioSource(uri, None, start_s, end_s, channel, policy, limits)


def load_audio(
    row: Mapping[str, Any],
    policy: AddressPolicy,
    max_duration_s: float,
    limits: Limits | None = None,
    rule: SpanRule | None = None,
) -> LoadedAudio:
    """Fetch and decode the audio of a row, or look through it once if it is long.

    Args:
        row: a manifest row; see `source_of`.
        policy: where the manifest is, and what it may name.
        max_duration_s: longest span that is accepted.
        limits: of bytes and time.
        rule: cuts audio that is longer than a span of it; None leaves all audio in one piece.

    Raises:
        BadRow: what `source_of`, `open_uri` and `AudioStream` find.
    """
    source = source_of(row, policy, limits)
    with looked_for(audio_name(row), policy), source.open(max_duration_s) as stream:
        return load_stream(stream, source, row, rule)


def load_stream(
    stream: AudioStream, source: AudioSource, row: Mapping[str, Any], rule: SpanRule | None
) -> LoadedAudio:
    """What a row's open stream holds; see `load_audio`."""
    loaded = _read(stream, rule)
    if (channel := stream.stronger) is not None:
        stream.take(channel)
        loaded, source = _read(stream, rule), replace(source, channel=channel)
    return replace(
        loaded,
        source=None if loaded.wave is not None else source,
        marks=_marks(stream, row, loaded.samples / SAMPLE_RATE),
    )


def _read(stream: AudioStream, rule: SpanRule | None) -> LoadedAudio:
    """All of a stream once: what is short as a wave, of what is long where its silences are."""
    blocks = stream.native()
    held, samples = [], 0
    for block in blocks:
        held.append(block)
        samples += len(block)
        if samples > WHOLE_S * stream.rate:
            return _looked_through(chain(held, blocks), stream.rate, rule)
    wave = finite(resample(joined(held, samples), stream.rate))
    cut = rule if rule and samples > rule.max_s * stream.rate else None
    return LoadedAudio(len(wave), wave, spans=_spans_of(wave, cut))


def _looked_through(blocks: Iterable[Tensor], rate: int, rule: SpanRule | None) -> LoadedAudio:
    levels = Levels(rate)
    for block in blocks:
        levels.add(block)
    samples = -(-levels.samples * SAMPLE_RATE // rate)
    cut = rule if rule and levels.samples > rule.max_s * rate else None
    return LoadedAudio(samples, spans=find_spans(levels.energies(), samples, cut) if cut else None)


def _marks(stream: AudioStream, row: Mapping[str, Any], found_s: float) -> Marks:
    """The stream's marks, and how much less there is than the manifest announces."""
    marks = stream.marks
    declared_s = _declared_s(row)
    if declared_s is not None and declared_s - found_s > SHORT_S:
        marks[INPUT_SHORT_BY_S] = round(declared_s - found_s, 6)
    return marks


def _declared_s(row: Mapping[str, Any]) -> float | None:
    """Length of the audio as the manifest has it beside no end of a span."""
    value = row.get("duration")
    if isinstance(value, bool) or not isinstance(value, int | float) or row.get("end_s"):
        return None
    return float(value)


def load_wave(
    row: Mapping[str, Any],
    policy: AddressPolicy,
    max_duration_s: float,
    limits: Limits | None = None,
) -> Tensor:
    """Fetch and decode the audio of a row as a whole, ``[N]`` float32 at 24 kHz.

    Args and errors are those of `load_audio`.
    """
    source = source_of(row, policy, limits)
    with looked_for(audio_name(row), policy), source.open(max_duration_s) as stream:
        return whole(stream)


def _spans_of(wave: Tensor, rule: SpanRule | None) -> Spans | None:
    if rule is None:
        return None
    levels = Levels(SAMPLE_RATE)
    levels.add(wave)
    return find_spans(levels.energies(), len(wave), rule)


def span_of(row: Mapping[str, Any]) -> tuple[float, float | None]:
    """Wanted span of a row: `start_s`/`end_s`, or `offset`/`duration` of a NeMo manifest.

    Raises:
        BadRow: `bad_span`.
    """
    try:
        start = row.get("start_s")
        end = row.get("end_s")
        if start is None and end is None and row.get("offset") is not None:
            start = float(row["offset"])
            duration = row.get("duration")
            end = None if duration is None else start + float(duration)
        return float(start or 0.0), None if end is None else float(end)
    except (TypeError, ValueError, OverflowError) as fault:
        raise BadRow("bad_span", f"{fault}; start_s and end_s are numbers of seconds") from fault


def audio_name(row: Mapping[str, Any]) -> str:
    """The name of a row's audio as it stands in the manifest; "" where that is no plain text."""
    value = next((row[name] for name in AUDIO_COLUMNS if row.get(name) is not None), None)
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) and not is_embedded(value) else ""


def _audio_value(row: Mapping[str, Any]) -> bytes | str:
    """What names or holds the audio of a row."""
    value = next((row[name] for name in AUDIO_COLUMNS if row.get(name) is not None), None)
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:  # a column of mixed kinds arrives as JSON
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    rates = row
    if isinstance(value, dict):
        is_told = any(value.get(name) is not None for name in RATE_COLUMNS)
        rates = value if is_told else row
        array = value.get("array")
        held = value.get("bytes")
        value = held or (value.get("path") if array is None else array)
        if isinstance(held, str) and held and not is_embedded(held):  # as JSON can hold them
            value = f"data:;base64,{held}"
    if isinstance(value, list | np.ndarray):
        return encoded_samples(value, rates)
    if value is None or value == "":
        raise BadRow("missing_value", "column 'audio' is null or empty; give a path, URI or bytes")
    if not isinstance(value, bytes | str):
        raise BadRow(
            "bad_manifest_row",
            f"column 'audio' holds a {type(value).__name__}; give a path, a URI, bytes, "
            "{bytes, path}, or samples beside their sampling_rate",
        )
    return value
