"""Sound files: good ones of every format, and every way in which one can be wrong."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import soundfile

from tests.uniaudio2.audio.fixtures import FIXTURES, data_of

RATE = 24_000
OK = frozenset({"ok"})
UNREADABLE = frozenset({"unreadable_audio"})
# cut or damaged files: what is left may play, and a damaged header may claim anything
CUT = frozenset({"ok", "unreadable_audio", "empty_audio"})
DAMAGED = CUT | {"too_long", "non_finite_audio"}
FORMATS: dict[str, tuple[str, str | None]] = {
    "wav": ("WAV", "PCM_16"), "flac": ("FLAC", None), "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"), "mp3": ("MP3", None), "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"), "caf": ("CAF", "PCM_16"), "w64": ("W64", "PCM_16"),
}  # fmt: skip
MAGICS = (
    b"RIFF\xff\xff\xff\xffWAVEfmt ", b"RIFX\0\0\1\0WAVE", b"RF64\xff\xff\xff\xffWAVE",
    b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\4\0\0\x7f\x7f\x7f\x7f", b"\xff\xfb\x90\x00",
    b"FORM\0\xff\xff\xffAIFF",
    b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\3", b"caff\0\1\0\0desc", b"riff\x2e\x91\xcf\x11",
    b"\x00\x00\x00\x20ftypM4A ", b"\x1aE\xdf\xa3", b"#!AMR\n", b"MAT5", b"IFF ", b"2BIT", b"fap ",
)  # fmt: skip


def sound_files(seed: int) -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Name, contents and acceptable outcomes of every file."""
    rng = np.random.default_rng(seed)
    yield from _good()
    yield from _cut_and_damaged(rng)
    yield from _absurd_headers()
    yield from _contents(rng)
    yield from _of_programs(rng)
    yield from _that_would_lead_on()


def sine(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """``[N, channels]`` float32."""
    wave = 0.3 * np.sin(np.arange(round(seconds * rate)) * 2765.0 / rate)
    return np.repeat(wave[:, None].astype(np.float32), channels, axis=1)


def encoded(samples: np.ndarray, kind: str = "wav", rate: int = RATE, subtype: str = "") -> bytes:
    """Samples as a file in memory."""
    name, default = FORMATS[kind]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=name, subtype=subtype or default)
    return buffer.getvalue()


def wav_header(rate: int = RATE, channels: int = 1, bits: int = 16, data: int = 4800, **more: int
) -> bytes:  # fmt: skip
    """A WAV file of 4,800 bytes of noise whose header says what it is told to."""
    align = more.get("align", min(channels * bits // 8, 65_535))
    fmt = struct.pack(
        "<HHIIHH", more.get("tag", 1), channels, rate, more.get("rate2", 0), align, bits
    )
    body = np.random.default_rng(0).integers(0, 256, 4800, np.uint8).tobytes()
    chunks = b"fmt " + struct.pack("<I", more.get("fmt_size", 16)) + fmt
    chunks += b"data" + struct.pack("<I", data) + body
    return b"RIFF" + struct.pack("<I", more.get("riff", 36 + 4800)) + b"WAVE" + chunks


def _good() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    for kind in FORMATS:
        yield f"good.{kind}", encoded(sine(0.3), kind), OK
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM"):
        yield f"good-{subtype}.wav", encoded(sine(0.3), subtype=subtype), OK
    for rate, channels in ((192_000, 8), (8_000, 1), (44_101, 2), (1_000, 1), (999_983, 1), (7, 1)):
        wave = sine(0.3 if rate > 10 else 2.0, rate, channels)
        yield f"good-{rate}-{channels}.wav", encoded(wave, rate=rate), OK
    yield "good-one-sample.wav", encoded(sine(1 / RATE)), OK
    yield "good-silence.flac", encoded(np.zeros((2400, 1), np.float32), "flac"), OK


def _cut_and_damaged(rng: np.random.Generator) -> Iterator[tuple[str, bytes, frozenset[str]]]:
    whole = {kind: encoded(sine(1.0, channels=2), kind) for kind in FORMATS}
    for kind, data in whole.items():
        for part in (0.001, 0.005, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 0.99):
            yield f"cut-{part}.{kind}", data[: max(int(len(data) * part), 1)], CUT | {"too_long"}
        yield f"headless.{kind}", data[len(data) // 3 :], DAMAGED
        for number in range(5):
            broken = np.frombuffer(data, np.uint8).copy()
            reach = len(broken) if number % 2 else 200
            places = rng.integers(0, reach, 1 + 4 * number)
            broken[places] = rng.integers(0, 256, len(places))
            yield f"damaged-{number}.{kind}", broken.tobytes(), DAMAGED
        for other, body in whole.items():
            if other != kind:
                yield f"crossed-{kind}.{other}", data[:64] + body[64:8000], DAMAGED
    for number, magic in enumerate(MAGICS):
        yield f"magic-{number}.wav", magic + rng.bytes(3000), DAMAGED
        yield f"magic-only-{number}.flac", magic, CUT


def _absurd_headers() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    for rate in (0, 1_000_000_000, 2**31 - 1, 2**32 - 1):
        yield f"rate-{rate}.wav", wav_header(rate), UNREADABLE
    yield "rate-1.wav", wav_header(1), frozenset({"too_long"})
    for channels in (0, 1025, 65_535):
        yield (
            f"channels-{channels}.wav",
            wav_header(channels=channels),
            UNREADABLE | {"empty_audio"},
        )
    for size in (2**32 - 1, 2**31, 2**31 - 1, 4801, 0, 1):
        yield f"claims-{size}.wav", wav_header(data=size), CUT
    for bits in (0, 1, 7, 64, 65_535):
        yield f"bits-{bits}.wav", wav_header(bits=bits), CUT
    for name in ("align", "riff", "fmt_size", "tag"):
        for value in (0, 65_535):
            yield f"{name}-{value}.wav", wav_header(**{name: value}), DAMAGED
    flac = bytearray(encoded(sine(0.3), "flac"))
    for name, count in (("none", 0), ("most", 2**36 - 1), ("a-day", 86_400 * RATE), ("few", 5)):
        flac[21] = flac[21] & 0xF0 | count >> 32
        flac[22:26] = (count & 0xFFFFFFFF).to_bytes(4, "big")
        yield f"flac-claims-{name}.flac", bytes(flac), CUT | {"too_long"}
    wide = struct.pack(">4sIIIII", b".snd", 24, 2**32 - 1, 3, RATE, 1_000_000) + bytes(4800)
    yield "million-channels.au", wide, UNREADABLE


def _contents(rng: np.random.Generator) -> Iterator[tuple[str, bytes, frozenset[str]]]:
    for value in (np.nan, np.inf, -np.inf, 3e38):
        wave = np.repeat(sine(0.2), 2, axis=1)
        wave[100:200] = value
        data = encoded(wave, subtype="FLOAT")
        # the mean of two channels is as large as they are, and no more
        found = "non_finite_audio" if not np.isfinite(value) else "ok"
        yield f"value-{value}.wav", data, frozenset({found})
    for kind in ("wav", "flac", "aiff", "au"):
        yield (
            f"no-samples.{kind}",
            encoded(np.zeros((0, 1), np.float32), kind),
            UNREADABLE | {"empty_audio"},
        )
    yield "empty.wav", b"", frozenset({"empty_audio"})
    texts = (b"I am text.\n" * 50, b"<html><script>alert(1)</script>", b'{"a": 1}', b"\0" * 5000,
             b"PK\3\4" + bytes(500), b"\x80\x02cos\nsystem\nX\2\0\0\0id\x85R.",
             b"\x89PNG\r\n\x1a\n", rng.bytes(4000), b"GIF89a", b"\xff" * 4000,
             b"\n", b"RIFF")  # fmt: skip
    for number, data in enumerate(texts):
        yield f"not-audio-{number}.wav", data, UNREADABLE
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, 1, format="FLAC") as file:
        for _ in range(36):
            file.write(np.zeros(100 * RATE, np.int16))
    yield "hour-in-kilobytes.flac", buffer.getvalue(), frozenset({"too_long"})


# one of each container and of most codecs
_KINDS = (
    "lame.mp3", "cover.mp3", "twolame.mp2", "flac_pipe.flac", "flac.oga", "oggenc_one_page.ogg",
    "opusenc.opus", "speexenc.spx", "aac.m4a", "aac_fragments.mp4", "alac.m4a", "opus.mp4",
    "video.mp4", "adts.aac", "aac.mka", "opus.webm", "vorbis.webm", "wmav2.wma", "ac3.ac3",
    "real_144.rm", "tta.tta", "wavpack.wv", "alac.caf", "ima4.aifc", "gsm.wav", "ac3_spdif.wav",
    "adpcm_ms.wav", "ffmpeg.w64", "rf64.wav", "pcm.sph", "ulaw.sph", "sox.voc", "video.avi",
    "video.ts",
)  # fmt: skip


def _of_programs(rng: np.random.Generator) -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Files of real programs: whole, cut, damaged, and joined to files of other kinds."""
    assert set(_KINDS) <= set(FIXTURES)
    for name in _KINDS:
        data = data_of(name)
        yield f"real-{name}", data, OK
        for part in (0.02, 0.5, 0.95):
            yield f"real-cut-{part}-{name}", data[: int(len(data) * part)], CUT | {"no_audio"}
        for reach in (300, len(data)):
            broken = np.frombuffer(data, np.uint8).copy()
            places = rng.integers(0, min(reach, len(data)), 12)
            broken[places] = rng.integers(0, 256, len(places))
            yield f"real-damaged-{reach}-{name}", broken.tobytes(), DAMAGED | {"no_audio"}
    for first, second in zip(_KINDS, _KINDS[5:], strict=False):
        yield f"real-joined-{first}-{second}", data_of(first) + data_of(second)[:3000], DAMAGED
    yield "real-silent.mp4", data_of("video_without_sound.mp4"), frozenset({"no_audio"})
    yield "real-links.ogg", data_of("oggenc_one_page.ogg") * 300, frozenset({"too_long"})
    yield "real-few-samples-often.flac", encoded(sine(1e-3), "flac") * 5000, UNREADABLE


def _atom(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def _that_would_lead_on() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Files that name other files, and headers that grow when they are unpacked."""
    for name, text in {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nplain.wav\n#EXT-X-ENDLIST\n",
        "list.ffconcat": "ffconcat version 1.0\nfile plain.wav\n",
        "list.pls": "[playlist]\nFile1=plain.wav\nNumberOfEntries=1\n",
        "list.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'/>",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "list.asx": "<asx version='3.0'><entry><ref href='plain.wav'/></entry></asx>",
    }.items():
        yield name, text.encode(), UNREADABLE
    movie = bytearray(data_of("aac.m4a"))
    at = movie.index(b"url ")
    movie[at + 7] = 0  # its samples are said to be in another file, of no name
    yield "reference.m4a", bytes(movie), CUT
    named = _atom(b"url ", bytes(4) + b"plain.wav\0")
    yield "reference-named.m4a", bytes(movie).replace(movie[at - 4 : at + 8], named), CUT
    grown = zlib.compress(bytes(200_000_000), 9)
    packed = _atom(b"dcom", b"zlib") + _atom(b"cmvd", struct.pack(">I", 200_000_000) + grown)
    kind = _atom(b"ftyp", b"qt  \0\0\0\0qt  ")
    yield "grows.mov", kind + _atom(b"moov", _atom(b"cmov", packed)), UNREADABLE
    for table in (b"stts", b"stsz", b"stsc", b"stco"):
        lies = bytearray(data_of("alac.m4a"))
        at = lies.index(table) + (12 if table == b"stsz" else 8)
        lies[at : at + 4] = b"\x7f\xff\xff\xff"
        yield f"lies-{table.decode()}.m4a", bytes(lies), CUT | {"too_long"}
