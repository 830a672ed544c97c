"""The audio that real programs wrote, and what each file must give."""

from __future__ import annotations

import importlib.util
import io
import lzma
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uniaudio2.audio.decoders.block import Block, Marks
from uniaudio2.audio.decoders.opening import open_decoder

FOLDER = Path(__file__).parents[2] / "fixtures" / "audio"


class Expected(NamedTuple):
    """What a file gives.

    Attributes:
        rate: in Hz.
        samples: of one channel.
        lag: samples of priming in front of the first sample of what was encoded, which no
            container states; negative where the decoder drops more than priming.
        channels: their number.
        snr_db: at least, over what was encoded.
    """

    rate: int
    samples: int
    lag: int = 0
    channels: int = 1
    snr_db: float = 15.0


FIXTURES = {
    # MPEG audio: a LAME tag states delay and padding; without it both stay (1105 = 576 + 529)
    "lame.mp3": Expected(44_100, 22_050),
    "lame_vbr_stereo.mp3": Expected(44_100, 22_050, 0, 2),
    "ffmpeg.mp3": Expected(44_100, 22_050),
    "cover.mp3": Expected(44_100, 22_050),
    "lame_no_tag.mp3": Expected(24_000, 13_248, 1105),
    "lame_16k.mp3": Expected(16_000, 10_944, 1105),
    "ffmpeg_pipe.mp3": Expected(22_050, 12_672, 1105),
    "lame_65s.mp3.xz": Expected(24_000, 1_561_536, 1105),
    "twolame.mp2": Expected(44_100, 23_040, 481),
    # FLAC
    "flac.flac": Expected(44_100, 22_050, snr_db=80.0),
    "flac_pipe.flac": Expected(16_000, 9600, snr_db=80.0),
    "flac.oga": Expected(16_000, 9600, snr_db=80.0),
    "flac.mka": Expected(44_100, 22_050, snr_db=80.0),
    "ffmpeg_24bit.flac": Expected(44_100, 22_050, 0, 2, 80.0),
    # Ogg: positions of pages state both ends
    "oggenc.ogg": Expected(44_100, 22_050),
    "oggenc_22k.ogg": Expected(22_050, 11_025),
    "oggenc_stereo.ogg": Expected(44_100, 22_050, 0, 2),
    "oggenc_one_page.ogg": Expected(16_000, 4800),
    "opusenc.opus": Expected(48_000, 24_000),
    "opusenc_stereo.opus": Expected(48_000, 24_000, 0, 2),
    "opusenc_16k.opus": Expected(48_000, 28_800),
    "speexenc.spx": Expected(16_000, 9920, 217, snr_db=5.0),
    "speexenc_8k.spx": Expected(8000, 4160, 76, snr_db=5.0),
    # MP4: the edit list states the start, the last packet's duration the end
    "aac.m4a": Expected(44_100, 22_050),
    "aac_16k.m4a": Expected(16_000, 9600),
    "alac.m4a": Expected(16_000, 9600, snr_db=80.0),
    "opus.mp4": Expected(48_000, 24_000),
    "video.mp4": Expected(44_100, 22_050),
    "aac_fragments.mp4": Expected(16_000, 10_624, 1024),
    "adts.aac": Expected(44_100, 23_552, 1024),
    "aac.mka": Expected(44_100, 23_552, 1024),
    "opus.webm": Expected(48_000, 24_000),
    "vorbis.webm": Expected(44_100, 22_144),
    "wmav1.wma": Expected(44_100, 20_480, -2048),
    "wmav2.wma": Expected(44_100, 20_480, -2048),
    "ac3.ac3": Expected(48_000, 24_576, 256),
    "real_144.rm": Expected(8000, 4160, 160),
    "tta.tta": Expected(16_000, 9600, snr_db=80.0),
    "wavpack.wv": Expected(16_000, 9600, snr_db=80.0),
    "alac.caf": Expected(16_000, 9600, snr_db=80.0),
    "ima4.aifc": Expected(16_000, 9600),
    # WAV: `fact` states the end, where it is less than the blocks hold
    "ac3.wav": Expected(48_000, 24_576, 256),
    "ac3_spdif.wav": Expected(48_000, 24_576, 256, 2),
    "g726.wav": Expected(8000, 4000),
    "gsm.wav": Expected(8000, 4000, snr_db=10.0),
    "adpcm_ms.wav": Expected(16_000, 10_180),
    "sox_ima.wav": Expected(16_000, 9600),
    "mp3.wav": Expected(16_000, 10_705, 1105),
    "rf64.wav": Expected(16_000, 9600, snr_db=80.0),
    "ffmpeg.w64": Expected(16_000, 9600, snr_db=80.0),
    "ffmpeg_pipe.wav": Expected(16_000, 9600, snr_db=80.0),
    "sox_pipe.wav": Expected(16_000, 9600, snr_db=80.0),
    "pcm.sph": Expected(16_000, 9600, snr_db=80.0),
    "ulaw.sph": Expected(16_000, 9600),
    "sox.aifc": Expected(16_000, 9600, snr_db=80.0),
    "sox.au": Expected(16_000, 9600, snr_db=80.0),
    "sox.voc": Expected(16_000, 9600, snr_db=80.0),
    "video.avi": Expected(44_100, 24_192, 1105),
    "video.ts": Expected(44_100, 19_584, 481),
}


def data_of(name: str) -> bytes:
    """The bytes of a fixture."""
    data = (FOLDER / name).read_bytes()
    return lzma.decompress(data) if name.endswith(".xz") else data


def source(samples: int, rate: int, channels: int = 1) -> np.ndarray:
    """What the fixtures were made of, ``[N, C]`` float32."""
    spec = importlib.util.spec_from_file_location("fixture_source", FOLDER / "source.py")
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wave: np.ndarray = module.wave(samples, rate, channels)
    return wave


def blocks_of(data: bytes) -> tuple[list[Block], Marks]:
    """All blocks of a file in memory."""
    decoder = open_decoder(io.BytesIO(data))
    try:
        return list(decoder.blocks()), decoder.marks
    finally:
        decoder.close()


def decoded(data: bytes) -> np.ndarray:
    """All samples of a file in memory, ``[N, C]`` float32."""
    return np.concatenate([block.values for block in blocks_of(data)[0]])
