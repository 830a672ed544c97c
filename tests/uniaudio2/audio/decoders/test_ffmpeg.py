"""Files that PyAV's encoders write, beside a plain decoding of the same file: every sample, and
any span of them, whatever the length, the rate and the blocks."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from tests.uniaudio2.audio.fixtures import source
from uniaudio2.audio.containers.recognise import recognise
from uniaudio2.audio.decoders import gather
from uniaudio2.audio.decoders.opened import DEMUXERS
from uniaudio2.audio.decoders.opening import open_decoder
from uniaudio2.audio.stream import AudioStream

RATES, LENGTHS = (8000, 16_000, 44_100, 48_000), (700, 4097, 30_011)


class Writer(NamedTuple):
    """One encoder in one container.

    Attributes:
        form: name of FFmpeg's muxer.
        codec: name of FFmpeg's encoder.
        whole: whether the container states both ends, so that what was written comes back.
        rates: those that the codec takes.
        channels: those that it takes.
    """

    form: str
    codec: str
    whole: bool = False
    rates: tuple[int, ...] = RATES
    channels: tuple[int, ...] = (1, 2)


OPUS = (48_000,)
WRITERS = [
    Writer("mp3", "libmp3lame"),
    Writer("flac", "flac", True),
    Writer("ogg", "libopus", True, OPUS),
    Writer("ogg", "flac", True),
    Writer("mp4", "aac", True, (16_000, 44_100, 48_000)),
    Writer("mp4", "alac", True),
    Writer("mp4", "libopus", True, OPUS),
    Writer("mp4", "flac", True),
    Writer("mp4", "libmp3lame", False, (16_000, 44_100)),
    Writer("mov", "pcm_s24be", True),
    Writer("adts", "aac", False, (16_000, 44_100)),
    Writer("matroska", "aac", False, (16_000, 44_100)),
    Writer("matroska", "flac", True),
    Writer("matroska", "pcm_s16le", True),
    Writer("webm", "libopus", True, OPUS),
    Writer("asf", "wmav2", False, (44_100,)),
    Writer("amr", "libopencore_amrnb", False, (8000,), (1,)),
    Writer("ac3", "ac3", False, (48_000,)),
    Writer("eac3", "eac3", False, (48_000,)),
    Writer("mp2", "mp2", False, (16_000, 44_100)),
    Writer("wv", "wavpack", True),
    Writer("caf", "alac", True),
    Writer("caf", "pcm_s24be", True),
    Writer("aiff", "pcm_s16be", True),
    Writer("au", "pcm_s16be", True),
    Writer("w64", "pcm_s24le", False, RATES, (2,)),
    Writer("wav", "adpcm_ms", False, (16_000,)),
    Writer("wav", "g722", False, (16_000,), (1,)),
    Writer("wav", "pcm_alaw", True),
    Writer("avi", "libmp3lame", False, (44_100,)),
    Writer("flv", "libmp3lame", False, (44_100,)),
    Writer("mpegts", "mp2", False, (44_100,)),
    Writer("voc", "pcm_u8", True, (16_000,), (1,)),
]


def written(writer: Writer, samples: int, rate: int, channels: int) -> bytes:
    """A file of so many samples in memory."""
    buffer = io.BytesIO()
    wave = source(samples, rate, channels)
    with av.open(buffer, "w", format=writer.form) as container:
        layout = "mono" if channels == 1 else "stereo"
        stream: Any = container.add_stream(writer.codec, rate=rate, layout=layout)
        if writer.codec == "libopencore_amrnb":
            stream.bit_rate = 12_200
        elif writer.codec == "wmav2":
            stream.bit_rate = 96_000
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate, frame_size=size)
        packed = np.ascontiguousarray(wave).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.rate = rate
        at = 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            piece.pts, piece.time_base = at, Fraction(1, rate)
            at += piece.samples
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def plainly_decoded(data: bytes) -> np.ndarray:
    """What PyAV's own loop gives, ``[N, C]`` float32."""
    pieces = []
    found = recognise(io.BytesIO(data))
    assert found is not None
    with av.open(io.BytesIO(data), format=DEMUXERS[found.kind]) as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            piece = frame.to_ndarray().astype(np.float64)
            scale = {"u8": 7, "s16": 15, "s32": 31}.get(frame.format.name.removesuffix("p"), 0)
            piece = (piece - (128 if scale == 7 else 0)) / 2**scale
            pieces.append(piece.T if frame.format.is_planar else piece.reshape(-1, stream.channels))
    whole: np.ndarray = np.concatenate(pieces).astype(np.float32)
    return whole


def heard(data: bytes) -> np.ndarray:
    """What we give, ``[N, C]`` float32."""
    decoder = open_decoder(io.BytesIO(data))
    values = np.concatenate([block.values for block in decoder.blocks()])
    assert (decoder.marks.damaged, decoder.marks.missing) == (0, 0)
    decoder.close()
    return values


def name_of(writer: Writer) -> str:
    return f"{writer.form}-{writer.codec}"


@pytest.mark.parametrize("writer", WRITERS, ids=name_of)
def test_every_sample_of_what_encoders_write(writer: Writer) -> None:
    for rate in writer.rates:
        for channels in writer.channels:
            for samples in LENGTHS:
                if writer.form in ("mp2", "asf") and samples < 4096:
                    continue  # FFmpeg wants to see two frames, or leaves them out
                data = written(writer, samples, rate, channels)
                values, witness = heard(data), plainly_decoded(data)
                what = (rate, channels, samples, len(values), len(witness))
                if writer.whole:  # to the millisecond where the edit list has no finer unit
                    assert abs(len(values) - samples) <= (writer.form == "mp4") * rate // 1000, what
                else:
                    assert len(witness) - 2880 < len(values) <= len(witness), what
                both = min(len(values), len(witness))
                assert np.array_equal(values[:both], witness[:both]), what


@pytest.mark.parametrize("writer", WRITERS, ids=name_of)
def test_any_span_in_blocks_of_any_size(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    rate, channels = writer.rates[-1], writer.channels[-1]
    data = written(writer, 20_011, rate, channels)
    whole = heard(data)
    with AudioStream(io.BytesIO(data)) as stream:
        rate = stream.rate
    rng = np.random.default_rng(len(data))
    for _ in range(4):
        monkeypatch.setattr(gather, "BLOCK_VALUES", int(rng.integers(1, 9000)))
        monkeypatch.setattr(gather, "MONO_SAMPLES", gather.BLOCK_VALUES)
        assert np.array_equal(heard(data), whole)
        first, stop = sorted(rng.choice(len(whole) + 1, 2, replace=False))
        with AudioStream(io.BytesIO(data), first / rate, stop / rate, channel=0) as stream:
            span = np.concatenate([part.numpy() for part in stream.native()])
        assert np.array_equal(span, whole[first:stop, 0])
