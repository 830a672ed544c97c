"""FLAC by two decoders: which of them reads what, and that nobody can tell."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from tests.uniaudio2.audio.fixtures import data_of, source
from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.decoders.block import Decoder
from uniaudio2.audio.decoders.ffmpeg import FFmpegDecoder
from uniaudio2.audio.decoders.flac import FlacDecoder
from uniaudio2.audio.decoders.opening import open_decoder

FOUND = Found("flac", 0)


def flac(samples: int, channels: int = 2, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    wave = source(samples, 16_000, channels)
    soundfile.write(buffer, wave, 16_000, format="FLAC", subtype=subtype)
    return buffer.getvalue()


def all_of(decoder: Decoder) -> np.ndarray:
    values = np.concatenate([block.values for block in decoder.blocks()])
    decoder.close()
    return values


def in_pieces(data: bytes) -> BinaryIO:
    """A file that is not in memory."""
    return io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_both_decoders_give_the_same_bits(subtype: str, channels: int) -> None:
    data = flac(30_000, channels, subtype)
    theirs, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert np.array_equal(all_of(FFmpegDecoder(io.BytesIO(data), FOUND)), theirs)
    chosen = open_decoder(io.BytesIO(data))
    assert isinstance(chosen, FlacDecoder) == (channels <= 2)
    assert np.array_equal(all_of(chosen), theirs)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_span_far_in_is_reached_by_a_seek(in_memory: bool) -> None:
    data = flac(200_000)
    whole, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    for first in (1, 4095, 4096, 100_001, 199_999):
        decoder = FlacDecoder(io.BytesIO(data) if in_memory else in_pieces(data), FOUND)
        assert decoder.seek(first, 200_000) == first
        assert np.array_equal(all_of(decoder), whole[first:])


def test_of_a_large_file_to_its_end_nothing_joined_is_lost() -> None:
    data = flac(20_000) + flac(10_000)
    decoder = FlacDecoder(in_pieces(data), FOUND)
    assert decoder.seek(15_000) == 0  # what lies behind is not known without reading
    assert len(all_of(decoder)) == 30_000
    decoder = FlacDecoder(io.BytesIO(data), FOUND)
    assert decoder.seek(15_000) == 0
    assert len(all_of(decoder)) == 30_000


def test_from_the_first_broken_frame_on_the_other_decoder_goes_on() -> None:
    data = bytearray(flac(100_000))
    whole = all_of(FlacDecoder(io.BytesIO(bytes(data)), FOUND))
    data[len(data) // 2] ^= 0x40
    decoder = FlacDecoder(io.BytesIO(bytes(data)), FOUND)
    heard = all_of(decoder)
    assert 0 < decoder.marks.damaged <= 3 * 4096
    assert len(heard) == len(whole)
    same = (heard == whole).all(axis=1)
    assert same[:40_000].all() and same[-40_000:].all()
    assert (~same).sum() <= decoder.marks.damaged


def test_heads_without_a_length_are_for_ffmpeg() -> None:
    assert isinstance(open_decoder(io.BytesIO(data_of("flac_pipe.flac"))), FFmpegDecoder)
