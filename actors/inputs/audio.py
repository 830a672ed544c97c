"""The audio of a row: whole in memory when it is short, read again where it is needed when long."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, BinaryIO

from actors.batch.audio_values import audio_name, audio_value
from actors.batch.names import INPUT_SHORT_BY_S
from actors.inputs.channels import channel_of
from actors.prefetch.member_ranges import opened_here
from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import BLOCKS_FROM_BYTES, Limits, looked_for, open_uri
from uniaudio2.audio.channel_files import ChannelFile
from uniaudio2.audio.embedded import embedded_audio, is_embedded
from uniaudio2.audio.files import whole
from uniaudio2.audio.resampling import SAMPLE_RATE, joined, resample, resampled
from uniaudio2.audio.spans import Levels, SpanRule, Spans, find_spans
from uniaudio2.audio.stream import SHORT_S, AudioStream, finite
from uniaudio2.errors import BadRow
from uniaudio2.scores.models.vad import VAD_RATE, voice_activity

if TYPE_CHECKING:
    from torch import Tensor

Marks = dict[str, float | bool | str]
WHOLE_S = 60.0  # longer audio does not travel between stages


@dataclass(frozen=True)
class AudioSource:
    """Which part of which file is meant; one of `uri`, `data` and `files` is there.

    Wherever it is opened, `policy` says what the manifest may name, and `limits` how much of a file
    is read and for how long. `files` are several that are one recording, each one channel of it, in
    their order and as the manifest names them.
    """

    uri: str | None
    data: bytes | None
    start_s: float
    end_s: float | None
    channel: int | None = None
    policy: AddressPolicy = field(default_factory=AddressPolicy)
    limits: Limits = field(default_factory=Limits)
    files: tuple[str, ...] = ()

    @staticmethod
    def of_cell(value: Mapping[str, Any]) -> AudioSource:
        """Undo `asdict`."""
        policy = {**value["policy"], "allow": tuple(value["policy"]["allow"])}
        own = {"policy": AddressPolicy(**policy), "limits": Limits(**value["limits"])}
        return AudioSource(**{**value, **own, "files": tuple(value["files"] or ())})

    @property
    def is_read_again(self) -> bool:
        """Whether it can be fetched once more, where it is named and not held."""
        return self.data is None

    def member(self, channel: int) -> AudioSource:
        """One of the files alone, counted from 0; the others are not opened.

        Raises:
            BadRow: `bad_span`, there are fewer.
        """
        if not 0 <= channel < len(self.files):
            raise BadRow(
                "bad_span",
                f"channel {channel} of a list of {len(self.files)} files, each one channel; "
                "channels count from 0: correct the row's channel, or audio.channel",
            )
        return replace(self, files=(self.files[channel],))

    @contextmanager
    def open(self, max_duration_s: float = inf) -> Iterator[AudioStream]:
        """The audio as a stream; see `AudioStream` and `open_uri` for what is raised."""
        with ExitStack() as opened:
            file: BinaryIO | list[ChannelFile]
            if self.files:
                file = [opened.enter_context(self._file(name)) for name in self.files]
            elif self.uri is None:
                file = io.BytesIO(self.data or b"")
            elif (member := opened_here(self.uri)) is not None:
                file = opened.enter_context(member)
            else:
                file = opened.enter_context(open_uri(self.uri, self.limits, self.policy))
            stream = AudioStream(file, self.start_s, self.end_s, max_duration_s, self.channel)
            yield opened.enter_context(stream)

    @contextmanager
    def _file(self, name: str) -> Iterator[ChannelFile]:
        """One of the files; together they are held as far as one file would be."""
        uri, blocks_from = resolve(name, self.policy.base), BLOCKS_FROM_BYTES // len(self.files)
        with looked_for(name, self.policy):
            opened = open_uri(uri, self.limits, self.policy, blocks_from)
            with opened as file:
                yield ChannelFile(file, name)


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

    def is_spoken(self) -> bool | None:
        """Tell whether anybody speaks; of long audio no more is read than up to the first speech.

        Returns:
            None where long audio cannot be read again: the next stage says why.

        Raises:
            FileNotFoundError: package `silero-vad` is not installed here.
            ModuleNotFoundError: package `onnxruntime` is not.
        """
        if self.wave is not None:
            return _speaks([self.wave])
        assert self.source is not None  # noqa: S101 - long audio has one
        try:
            with self.source.open() as stream:
                return _speaks(stream.blocks())
        except BadRow:
            return None


def _speaks(blocks: Iterable[Tensor]) -> bool:
    heard = resampled(blocks, SAMPLE_RATE, VAD_RATE)
    return voice_activity().speaks(block.numpy() for block in heard)


def source_of(
    row: Mapping[str, Any], policy: AddressPolicy, limits: Limits | None = None
) -> AudioSource:
    """What a manifest row names.

    Args:
        row: `audio` is a path, a URI, bytes, ``{"bytes", "path"}``, samples, see `encoded_samples`,
            text that holds audio, see `is_embedded`, or a list of files, see `listed_files`;
            `channel_of` says which columns choose a channel instead of the mix of all.
        policy: where the manifest is, and what it may name.
        limits: of bytes and time.

    Raises:
        BadRow: `missing_value`, `bad_manifest_row`, `bad_span` or `forbidden_address`.
    """
    limits = limits or Limits()
    value = audio_value(row)
    start_s, end_s = span_of(row)
    wanted = channel_of(row)
    channel = None if wanted == "mix" else wanted
    if isinstance(value, str) and is_embedded(value):
        value = embedded_audio(value, limits.max_bytes)
    if isinstance(value, tuple):
        source = AudioSource(None, None, start_s, end_s, None, policy, limits, value)
        for name in value:
            policy.check(resolve(name, policy.base))
        return source if channel is None else source.member(channel)
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
        # a file of several may be shorter by more
        short_s = float(marks.get(INPUT_SHORT_BY_S, 0.0)) if stream.is_padded else 0.0
        marks[INPUT_SHORT_BY_S] = round(max(declared_s - found_s, short_s), 6)
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
