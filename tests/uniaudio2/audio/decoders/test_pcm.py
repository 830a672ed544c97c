"""Plain samples: G.711's tables, seeks, and blocks of any size."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from uniaudio2.audio.containers.stored import Stored
from uniaudio2.audio.decoders import pcm
from uniaudio2.audio.decoders.pcm import PcmDecoder


@pytest.mark.parametrize(("encoding", "subtype"), [("ulaw", "ULAW"), ("alaw", "ALAW")])
def test_every_byte_of_g711(encoding: str, subtype: str) -> None:
    data = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(data), format="RAW", subtype=subtype, samplerate=8000, channels=1,
        dtype="float32",
    )  # fmt: skip
    decoder = PcmDecoder(io.BytesIO(data), Stored(8000, 1, encoding, False, 0, 256))
    (block,) = decoder.blocks()
    assert np.array_equal(block.values[:, 0], theirs)


@pytest.mark.parametrize("encoding", ["u8", "s8", "s16", "s24", "s32", "f32", "f64"])
@pytest.mark.parametrize("big", [False, True])
def test_seeks_and_blocks(encoding: str, big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(1).integers(0, 100, 5 + 48 * 1000, np.uint8).tobytes()
    stored = Stored(8000, 2, encoding, big, 5, 48 * 1000)
    (whole,) = PcmDecoder(io.BytesIO(data), stored).blocks()
    assert whole.values.dtype == np.float32
    monkeypatch.setattr(pcm, "BLOCK_VALUES", 999)
    decoder = PcmDecoder(io.BytesIO(data), stored)
    assert decoder.stated == len(whole.values)
    assert decoder.seek(700) == 700
    blocks = [block.values for block in decoder.blocks()]
    assert len(blocks) > 1
    assert np.array_equal(np.concatenate(blocks), whole.values[700:], equal_nan=True)


def test_a_file_that_shrank_since_its_header_was_read() -> None:
    decoder = PcmDecoder(io.BytesIO(bytes(99)), Stored(8000, 1, "s16", False, 0, 200))
    assert sum(len(block.values) for block in decoder.blocks()) == 49
