"""Files as real programs write them: whole, in place, and any span a slice of the whole."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.uniaudio2.audio.fixtures import FIXTURES, FOLDER, blocks_of, data_of, decoded, source
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders import block, gather, pcm, sndfile
from uniaudio2.audio.decoders.opening import open_decoder
from uniaudio2.audio.stream import AudioStream
from uniaudio2.errors import BadRow

SHORT = [name for name in FIXTURES if not name.endswith(".xz")]


def lag_of(heard: np.ndarray, made: np.ndarray) -> int:
    """By how many samples one wave follows the other."""
    size = 1 << int(np.ceil(np.log2(len(heard) + len(made))))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(made, size))
    best = int(np.fft.irfft(spectrum, size).argmax())
    return best if best < size // 2 else best - size


@pytest.mark.parametrize("name", FIXTURES)
def test_what_programs_write_is_whole_and_in_its_place(name: str) -> None:
    expected = FIXTURES[name]
    blocks, marks = blocks_of(data_of(name))
    heard = np.concatenate([one.values for one in blocks])
    assert {one.rate for one in blocks} == {expected.rate}
    assert heard.shape == (expected.samples, expected.channels)
    assert (marks.damaged, marks.missing) == (0, 0)
    assert marks.unfinished == (name == "ffmpeg_pipe.wav")
    if name == "opusenc_16k.opus":
        return  # what it was made of has another rate
    made = source(min(expected.rate // 2, expected.samples), expected.rate)[:, 0]
    if expected.rate == 16_000 and expected.samples > 8000:
        made = source(9600, 16_000)[:, 0]
    assert abs(lag_of(heard[:40_000, 0], made) - expected.lag) <= (
        4 if expected.channels > 1 else 0
    )
    first, skipped = max(expected.lag, 0), max(-expected.lag, 0)
    heard, made = heard[first:, 0], made[skipped:]
    both = min(len(heard), len(made))
    error = np.sum((heard[:both] - made[:both]) ** 2)
    assert 10 * np.log10(np.sum(made[:both] ** 2) / error) > expected.snr_db


def test_no_fixture_is_forgotten() -> None:
    others = {"README.md", "make.sh", "source.py", "espeak_stdout.wav", "video_without_sound.mp4"}
    files = {path.name for path in FOLDER.iterdir() if path.is_file()} - others
    assert files == {*FIXTURES, "lame_vbr_no_tag_65s.mp3.xz"}


def test_a_vbr_mp3_without_a_tag_is_not_as_long_as_it_looks() -> None:
    data = data_of("lame_vbr_no_tag_65s.mp3.xz")  # loud at first, then a minute of silence
    assert len(decoded(data)) == 1_037_952
    with AudioStream(io.BytesIO(data)) as stream:
        assert stream.length is None
        assert stream.duration_s is None


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("block_values", [1 << 20, 1777])
def test_any_span_is_the_slice_of_the_whole_read(
    name: str, block_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(name)
    whole = decoded(data)
    for module in (block, gather, pcm, sndfile):
        monkeypatch.setattr(module, "BLOCK_VALUES", block_values, raising=False)
    monkeypatch.setattr(gather, "MONO_SAMPLES", block_values)
    assert np.array_equal(decoded(data), whole)
    rate, rng = FIXTURES[name].rate, np.random.default_rng(len(data))
    for _ in range(3):
        first, stop = sorted(rng.choice(len(whole) + 1, 2, replace=False))
        with AudioStream(io.BytesIO(data), first / rate, stop / rate, channel=0) as stream:
            span = np.concatenate([part.numpy() for part in stream.native()])
        assert np.array_equal(span, whole[first:stop, 0])


@pytest.mark.parametrize("name", ["lame.mp3", "oggenc.ogg", "aac.m4a", "gsm.wav", "sox.au"])
def test_names_decide_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(data_of(name))
    with path.open("rb") as file:
        decoder = open_decoder(file)
        samples = sum(len(one.values) for one in decoder.blocks())
        decoder.close()
    assert samples == FIXTURES[name].samples


def test_a_video_without_sound_is_told_from_a_broken_one() -> None:
    with pytest.raises(BadRow) as caught:
        open_decoder(io.BytesIO(data_of("video_without_sound.mp4")))
    assert caught.value.kind == "no_audio"
    data = data_of("video.mp4")
    with pytest.raises(Undecodable):  # its table of contents is at the end
        open_decoder(io.BytesIO(data[: len(data) // 2]))


# ---- what stands in front ---------------------------------------------------------------------


def id3(size: int) -> bytes:
    """An ID3v2 tag of so many bytes of padding."""
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + digits + bytes(size)


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("name", ["lame.mp3", "flac.flac", "rf64.wav", "adts.aac", "oggenc.ogg"])
@pytest.mark.parametrize(
    "front", [id3(3000), id3(700_000), HTTP, bytes(3000), HTTP + id3(100) + bytes(7)]
)
def test_what_was_left_in_front_is_passed_over(name: str, front: bytes) -> None:
    data = data_of(name)
    assert np.array_equal(decoded(front + data), decoded(data))


def test_an_mp3_that_begins_in_the_middle_of_a_frame() -> None:
    data = data_of("lame_no_tag.mp3")
    heard = decoded(data[100:])
    assert 12_000 < len(heard) < 13_248


# ---- files that were joined -------------------------------------------------------------------

ALIKE = [
    "oggenc.ogg",
    "opusenc.opus",
    "flac.oga",
    "lame.mp3",
    "ffmpeg.mp3",
    "flac.flac",
    "cover.mp3",
]


@pytest.mark.parametrize("name", ALIKE)
def test_a_file_joined_to_itself_is_twice_as_long(name: str) -> None:
    data = data_of(name)
    once = decoded(data)
    assert np.array_equal(decoded(data + data + data), np.concatenate([once, once, once]))


OTHERS = [
    ("oggenc.ogg", "oggenc_22k.ogg"),
    ("oggenc.ogg", "oggenc_stereo.ogg"),
    ("opusenc.opus", "opusenc_stereo.opus"),
    ("oggenc.ogg", "opusenc.opus"),
    ("flac.flac", "flac_pipe.flac"),
    ("flac.flac", "ffmpeg_24bit.flac"),
    ("lame.mp3", "lame_16k.mp3"),
    ("lame_vbr_stereo.mp3", "cover.mp3"),
]


@pytest.mark.parametrize(("first", "second"), OTHERS)
def test_joined_files_of_other_rates_and_channels(first: str, second: str) -> None:
    blocks, _ = blocks_of(data_of(first) + data_of(second))
    for name in (first, second):
        values, samples = FIXTURES[name], 0
        while samples < values.samples:
            one = blocks.pop(0)
            assert (one.rate, one.values.shape[1]) == (values.rate, values.channels)
            samples += len(one.values)
        assert samples == values.samples
    assert blocks == []


def test_a_joined_file_is_one_wave_of_the_first_ones_rate() -> None:
    data = data_of("oggenc_22k.ogg") + data_of("oggenc_stereo.ogg")
    with AudioStream(io.BytesIO(data)) as stream:
        wave = np.concatenate([part.numpy() for part in stream.native()])
        assert stream.rate == 22_050
    assert len(wave) == 11_025 + 11_025
    made = source(22_050, 44_100)[::2, 0] * 0.75  # the mean of a wave and its half
    error = np.sum((wave[11_025 + 50 : -50] - made[50:-50]) ** 2)
    assert error < 0.05 * np.sum(made**2)


# ---- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "stray"), [("twolame.mp2", 0), ("lame_no_tag.mp3", 2)])
def test_broken_frames_of_an_mp3_cost_no_more_than_their_place(name: str, stray: int) -> None:
    data = bytearray(data_of(name) * 8)
    whole, rate = decoded(bytes(data)), FIXTURES[name].rate
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    blocks, marks = blocks_of(bytes(data))
    heard = np.concatenate([one.values for one in blocks])
    frame = 1152 if name == "twolame.mp2" else 576  # of variable size, so that some may be guessed
    assert abs(len(heard) - len(whole)) <= stray * frame
    assert 0 < marks.damaged <= 6 * frame
    third, least = len(heard) // 3, 2.0**-15  # what the decoder of layer II dithers by
    assert np.abs(heard[-third:] - whole[-third:]).max() <= least
    assert np.array_equal(heard[:third], whole[:third])
    with AudioStream(io.BytesIO(bytes(data))) as stream:
        list(stream.native())
        assert stream.marks == {"input_damaged_s": pytest.approx(marks.damaged / rate, abs=1e-6)}


def test_a_broken_frame_of_a_flac_is_silent_and_no_noise() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, source(96_000, 24_000), 24_000, format="FLAC")
    data = bytearray(buffer.getvalue())
    whole = decoded(bytes(data))
    data[len(data) // 2 : len(data) // 2 + 20] = b"\x55" * 20
    blocks, marks = blocks_of(bytes(data))
    heard = np.concatenate([one.values for one in blocks])
    assert len(heard) == len(whole)
    assert 0 < marks.damaged <= 3 * 4096
    assert np.abs(heard).max() < 0.5
    assert np.array_equal(heard[-30_000:], whole[-30_000:])


def test_a_lost_page_of_an_ogg_keeps_the_place_of_what_follows() -> None:
    samples = source(240_000, 48_000)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 48_000, format="OGG", subtype="OPUS")
    data = bytearray(buffer.getvalue())
    whole = decoded(bytes(data))
    middle = data.index(b"OggS", len(data) // 2)
    data[middle + 100] ^= 0xFF
    blocks, marks = blocks_of(bytes(data))
    heard = np.concatenate([one.values for one in blocks])
    assert len(heard) == len(whole)
    assert marks.damaged > 0
    assert np.abs(heard[-4800:] - whole[-4800:]).max() < 1e-3


@pytest.mark.parametrize("name", ["aac.m4a", "adts.aac"])
def test_broken_packets_of_aac(name: str) -> None:
    data = bytearray(data_of(name))
    whole = decoded(bytes(data))
    start = data.index(b"mdat") + 2500 if name == "aac.m4a" else len(data) // 2
    data[start : start + 200] = bytes(200)
    blocks, marks = blocks_of(bytes(data))
    heard = np.concatenate([one.values for one in blocks])
    assert marks.damaged % 1024 == 0
    assert abs(len(heard) - len(whole)) <= 1024


@pytest.mark.parametrize(("broken", "damaged"), [(40, 0), (200, 1024), (400, 2048)])
def test_broken_first_packets_are_silence_too(broken: int, damaged: int) -> None:
    """The very first one is priming alone."""
    data = bytearray(data_of("aac.m4a"))
    whole = decoded(bytes(data))
    start = data.index(b"mdat") + 4
    data[start : start + broken] = b"\xff" * broken
    blocks, marks = blocks_of(bytes(data))
    assert marks.damaged == damaged
    assert sum(len(one.values) for one in blocks) == len(whole)


def test_a_container_that_breaks_off_is_short_by_what_it_states() -> None:
    data = bytearray(data_of("aac.mka"))
    start = len(data) // 2
    data[start : start + 200] = bytes(200)
    with AudioStream(io.BytesIO(bytes(data))) as stream:
        heard_s = sum(len(part) for part in stream.native()) / stream.rate
        assert stream.marks == {"input_short_by_s": pytest.approx(0.534 - heard_s, abs=0.03)}


def test_what_is_mostly_damaged_is_an_error() -> None:
    data = bytearray(data_of("lame_no_tag.mp3") * 4)
    for start in range(2000, len(data) - 1000, 900):
        data[start : start + 600] = bytes(600)
    with pytest.raises(Undecodable, match="damaged"):
        blocks_of(bytes(data))


@pytest.mark.parametrize("name", ["lame.mp3", "flac.flac"])
def test_a_cut_file_whose_header_states_more(name: str) -> None:
    data = data_of(name)
    with pytest.raises(Undecodable, match="the file is cut or damaged"):
        blocks_of(data[: len(data) // 2])


def test_a_cut_wav_is_used_and_marked() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, source(16_000, 16_000), 16_000, format="WAV", subtype="PCM_16")
    data = buffer.getvalue()[: 44 + 8000]
    with AudioStream(io.BytesIO(data)) as stream:
        assert sum(len(part) for part in stream.native()) == 4000
        assert stream.marks == {"input_short_by_s": 0.75}


def test_a_span_that_reaches_beyond_the_end_is_marked() -> None:
    for data in (data_of("oggenc.ogg"), data_of("rf64.wav")):
        with AudioStream(io.BytesIO(data), 0.1, 4.7) as stream:
            length_s = sum(len(part) for part in stream.native()) / stream.rate
            assert stream.marks == {"input_short_by_s": pytest.approx(4.6 - length_s)}


def test_headers_that_claim_what_no_recording_has() -> None:
    wave = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 0, 8000, 0, 0, 16)
    with pytest.raises(BadRow, match="0 channels"):
        open_decoder(io.BytesIO(wave + b"data" + struct.pack("<I", 8) + bytes(8)))
