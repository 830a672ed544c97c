"""WAV headers: finished ones, those of killed recorders and of pipes, and the chunks around."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.uniaudio2.audio.fixtures import blocks_of, data_of, decoded
from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.containers.stored import Stored, Undecodable
from uniaudio2.audio.containers.wav import Coded, read_wav
from uniaudio2.audio.stream import AudioStream
from uniaudio2.errors import BadRow

SAMPLES = np.random.default_rng(3).integers(-20_000, 20_000, 8000).astype("<i2")
FMT = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    length = len(body) if size is None else size
    return name + struct.pack("<I", length) + body + bytes(len(body) % 2)


def riff(*chunks: bytes, size: int = 0) -> bytes:
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + b"".join(chunks)


LIST = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 14) + b"Lavf59.27.100\0")
JUNK = chunk(b"JUNK", bytes(28))
AVAUDIO = chunk(b"FLLR", bytes(4008))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8])
@pytest.mark.parametrize("front", [b"", JUNK, JUNK + AVAUDIO, LIST])
@pytest.mark.parametrize("behind", [b"", LIST, LIST + chunk(b"id3 ", bytes(31))])
def test_a_header_that_was_never_finished(size: int, front: bytes, behind: bytes) -> None:
    data = riff(front, chunk(b"fmt ", FMT), chunk(b"data", SAMPLES.tobytes(), size), behind)
    blocks, marks = blocks_of(data)
    heard = np.concatenate([one.values for one in blocks])[:, 0]
    assert np.array_equal(heard, SAMPLES.astype(np.float32) / 32_768)
    assert (marks.unfinished, marks.missing) == (True, 0)
    with AudioStream(io.BytesIO(data)) as stream:
        assert stream.marks == {"input_unfinished": True}


@pytest.mark.parametrize("first", [0, 1024])
def test_what_python_leaves_when_it_is_killed(first: int, tmp_path: Path) -> None:
    """Its header states what was written first, here nothing or a thousand samples."""
    path = tmp_path / "a.wav"
    code = (
        "import os, wave; w = wave.open(os.environ['WAV'], 'wb'); "
        "w.setparams((1, 2, 16000, 0, 'NONE', '')); d = bytes(range(250)) * 64; "
        f"w.writeframesraw(d[:{first}]); w.writeframesraw(d[{first}:]); "
        "w._file.flush(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"WAV": str(path)}, check=False)
    data = path.read_bytes()
    assert int.from_bytes(data[40:44], "little") == first
    blocks, marks = blocks_of(data)
    assert sum(len(one.values) for one in blocks) == 8000
    assert marks.unfinished


def test_a_large_chunk_behind_few_samples_is_no_sound() -> None:
    body = chunk(b"data", SAMPLES[:100].tobytes())
    data = riff(chunk(b"fmt ", FMT), body, chunk(b"id3 ", bytes(range(256)) * 999))
    blocks, marks = blocks_of(data)
    assert (sum(len(one.values) for one in blocks), marks.unfinished) == (100, False)


def test_an_empty_recording_is_empty() -> None:
    for behind in (b"", LIST):
        with pytest.raises(BadRow) as caught:
            AudioStream(io.BytesIO(riff(chunk(b"fmt ", FMT), chunk(b"data", b""), behind)))
        assert caught.value.kind == "empty_audio"


def test_sizes_that_are_wrong() -> None:
    body = SAMPLES.tobytes()
    for size, samples, missing in ((16_000, 8000, 0), (8000, 4000, 0), (15_999, 7999, 0),
                                   (20_000, 8000, 2000)):  # fmt: skip
        blocks, marks = blocks_of(riff(chunk(b"fmt ", FMT), chunk(b"data", body, size)))
        heard = sum(len(one.values) for one in blocks)
        assert (heard, marks.missing, marks.unfinished) == (samples, missing, False)


def test_a_form_of_64_bits() -> None:
    sizes = struct.pack("<QQQI", 0, 16_000, 8000, 0)
    data = riff(chunk(b"ds64", sizes), chunk(b"fmt ", FMT),
                chunk(b"data", SAMPLES.tobytes(), 0xFFFFFFFF), LIST)  # fmt: skip
    for form in (b"RF64", b"BW64"):
        blocks, marks = blocks_of(form + data[4:])
        assert sum(len(one.values) for one in blocks) == 8000
        assert not marks.unfinished


SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_samples_are_those_of_libsndfile_bit_for_bit(form: str, subtype: str, endian: str) -> None:
    if endian == "BIG" and (form != "WAV" or subtype in ("ULAW", "ALAW")):
        return
    buffer = io.BytesIO()
    values = np.random.default_rng(5).uniform(-1.2, 1.2, (3001, 3))
    soundfile.write(buffer, values, 11_025, format=form, subtype=subtype, endian=endian)
    buffer.seek(0)
    theirs, _ = soundfile.read(buffer, dtype="float32", always_2d=True)
    ours = decoded(buffer.getvalue())
    assert np.array_equal(ours, theirs)


def test_places_of_speakers() -> None:
    mask = struct.pack("<HHIIHHHHI", 0xFFFE, 6, 8000, 96_000, 12, 16, 22, 16, 0x3F)
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    data = riff(chunk(b"fmt ", mask + guid), chunk(b"data", bytes(120)))
    stored = read_wav(io.BytesIO(data), Found("wav", 0))
    assert isinstance(stored, Stored)
    assert stored.speakers == ("FL", "FR", "FC", "LFE", "BL", "BR")
    few = data.replace(struct.pack("<I", 0x3F), struct.pack("<I", 3), 1)
    stored = read_wav(io.BytesIO(few), Found("wav", 0))
    assert isinstance(stored, Stored)
    assert stored.speakers == ()


@pytest.mark.parametrize(
    ("name", "samples"),
    [("gsm.wav", 4000), ("mp3.wav", 10_705), ("g726.wav", 4000), ("ac3_spdif.wav", None)],
)
def test_coded_samples_and_what_their_header_states(name: str, samples: int | None) -> None:
    assert read_wav(io.BytesIO(data_of(name)), Found("wav", 0)) == Coded(samples)


@pytest.mark.parametrize(
    "data", [riff(), riff(chunk(b"fmt ", FMT)), riff(chunk(b"fmt ", FMT[:8])),
             riff(chunk(b"data", bytes(8))), riff(chunk(b"fmt ", FMT, 0xFFFFFFFF)),
             riff(*[chunk(b"abcd", b"")] * 9999)],
)  # fmt: skip
def test_headers_that_lead_nowhere(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read_wav(io.BytesIO(data), Found("wav", 0))
