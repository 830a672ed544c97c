"""What holds audio by its first bytes, and what does not."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from uniaudio2.audio.content import LOOK_BYTES, holds_audio

WRITTEN_BY_FFMPEG = [
    ("mp3", "libmp3lame", 44100), ("mp3", "libmp3lame", 22050), ("mp3", "libmp3lame", 8000),
    ("mp2", "mp2", 32000), ("mp2", "mp2", 16000), ("adts", "aac", 24000), ("mp4", "aac", 44100),
    ("ipod", "alac", 44100), ("webm", "libopus", 48000), ("matroska", "aac", 44100),
    ("asf", "wmav2", 44100), ("caf", "pcm_s16be", 16000), ("w64", "pcm_s16le", 16000),
    ("ac3", "ac3", 48000), ("wv", "wavpack", 44100), ("tta", "tta", 44100),
    ("au", "pcm_mulaw", 8000),
    ("voc", "pcm_u8", 8000), ("mpegts", "mp2", 48000), ("ogg", "libopus", 48000),
    ("avi", "pcm_s16le", 16000), ("flv", "aac", 44100), ("3gp", "aac", 16000),
]  # fmt: skip


def written(kind: str, codec: str, rate_hz: int) -> bytes:
    """A second of a tone, as FFmpeg writes it."""
    sink = io.BytesIO()
    wave = np.sin(np.arange(rate_hz) / 20)[None].astype(np.float32)
    with av.open(sink, "w", kind) as container:
        stream = container.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(stream.format, "mono", rate_hz, stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return sink.getvalue()


@pytest.mark.parametrize(("kind", "codec", "rate_hz"), WRITTEN_BY_FFMPEG)
def test_what_ffmpeg_writes_is_audio(kind: str, codec: str, rate_hz: int) -> None:
    assert holds_audio(written(kind, codec, rate_hz)[:LOOK_BYTES])


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "FLAC", "OGG", "NIST", "CAF", "W64"])
def test_what_libsndfile_writes_is_audio(kind: str) -> None:
    sink = io.BytesIO()
    soundfile.write(sink, np.zeros(4000), 16000, format=kind)
    assert holds_audio(sink.getvalue()[:LOOK_BYTES])


@pytest.mark.parametrize(
    "head",
    [
        b"", b"RIFF\x10\x00\x00\x00WEBPVP8 ", b"\x00\x00\x00\x1cftypavif", b"\x89PNG\r\n",
        b"\xff\xd8\xff\xe0\x00\x10JFIF", b"a text of no sound", b"FORM\x00\x00\x00\x10ILBM",
        "﻿ä text".encode("utf-16-le"), "﻿ä text".encode("utf-16-be"), b"\xff" * 4096,
        b"\x00" * 4096, b"PAR1", b"{}", b"GGG", b"\xff\xfb\x90\x00" + b"x" * 4000,
    ],
)  # fmt: skip
def test_what_is_none(head: bytes) -> None:
    assert not holds_audio(head)


@given(st.text(max_size=300))
@example("a")
def test_no_text_in_utf_16_is_audio(text: str) -> None:
    assert not holds_audio(b"\xff\xfe" + text.encode("utf-16-le"))


@given(st.binary(max_size=300))
def test_no_bytes_break_it(head: bytes) -> None:
    holds_audio(head)
    holds_audio(b"\xff\xfb" + head)
