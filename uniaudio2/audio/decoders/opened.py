"""Opens a container with FFmpeg under limits and decodes its first audio stream, frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from uniaudio2.audio.containers.flac_head import flac_shape
from uniaudio2.audio.containers.joints import Link, Whole, is_joinable
from uniaudio2.audio.containers.mpeg_audio import TAG_BYTES, header_at, tag_of
from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.decoders.clock import Clock
from uniaudio2.audio.decoders.places import Places
from uniaudio2.errors import BadRow

# kinds of `containers` and the demuxers that read them; what is not here is never opened
DEMUXERS = {
    "aac": "aac", "ac3": "ac3", "aiff": "aiff", "amr": "amr", "ape": "ape", "asf": "asf",
    "au": "au", "avi": "avi", "caf": "caf", "dsf": "dsf", "dts": "dts", "eac3": "eac3",
    "flac": "flac", "flv": "flv", "ilbc": "ilbc", "loas": "loas", "matroska": "matroska",
    "mov": "mov", "mp3": "mp3", "mpc": "mpc", "mpc8": "mpc8", "mpeg": "mpeg", "mpegts": "mpegts",
    "ogg": "ogg", "rm": "rm", "shn": "shn", "sphere": "nistsphere", "tak": "tak", "tta": "tta",
    "voc": "voc", "w64": "w64", "wav": "wav", "wv": "wv", "xwma": "xwma",
}  # fmt: skip
_CODECS = frozenset(
    (
        "aac aac_latm ac3 adpcm_adx adpcm_g722 adpcm_g726 adpcm_g726le adpcm_ima_qt adpcm_ima_wav "
        "adpcm_ms adpcm_swf adpcm_yamaha alac als amrnb amrwb ape atrac1 atrac3 atrac3al "
        "atrac3plus atrac3plusal cook dca dsd_lsbf dsd_lsbf_planar dsd_msbf dsd_msbf_planar dst "
        "eac3 evrc flac g722 g723_1 g726 g726le g729 gsm gsm_ms ilbc imc mace3 mace6 mlp mp1float "
        "mp2 mp2float mp3 mp3float mpc7 mpc8 nellymoser opus pcm_alaw pcm_bluray pcm_dvd "
        "pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s16be_planar pcm_s16le "
        "pcm_s16le_planar pcm_s24be pcm_s24le pcm_s24le_planar pcm_s32be pcm_s32le "
        "pcm_s32le_planar pcm_s64be pcm_s64le pcm_s8 pcm_s8_planar pcm_u8 qcelp qdm2 qdmc ralf "
        "real_144 real_288 s302m shorten sipr siren speex tak truehd truespeech tta vorbis "
        "wavpack wmalossless wmapro wmav1 wmav2 wmavoice"
    ).split()
)
_STATES_DURATION = frozenset({"ape", "asf", "caf", "matroska", "mov", "tta", "wv"})
_SHORT_S = 0.25  # decoders leave out priming
MOST_PADDING = 1 << 14  # no codec's frame is longer
# QuickTime's headers may be compressed a thousandfold; what they grow to is not limited
_COMPRESSED = b"dcomzlib"
_READ_BYTES = 1 << 16
_MOST_STREAMS = 128
_OPTIONS = {"codec_whitelist": ",".join(sorted(_CODECS)), "max_streams": str(_MOST_STREAMS)}
# FLAC's frames have checksums, without which damage is heard as noise; planes need no turning
_CODEC_OPTIONS = {"flac": {"err_detect": "crccheck+explode", "request_sample_fmt": "s16p"}}
_SKIP_MANUAL = 1 << 29  # AV_CODEC_FLAG2_SKIP_MANUAL
_PACKETS_A_LOOK = 64  # asking for a thread's own time is a call to the system


@contextmanager
def typed() -> Iterator[None]:
    """What PyAV raises as `Undecodable`."""
    try:
        yield
    except (BadRow, Undecodable):
        raise
    except FFmpegError as fault:
        raise Undecodable(str(fault.strerror or type(fault).__name__)) from fault
    except (ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError) as fault:
        raise Undecodable(type(fault).__name__) from fault


class Opened:
    """A container, or one link of joined ones.

    Args:
        file: binary and seekable; stays open.
        found: the container within it.
        clock: of the file.

    Attributes:
        total: samples of one channel without priming and padding, where the file states them.
        padding: the most samples that may follow them.
        priming: samples to leave out at the beginning that FFmpeg does not leave out.
        lost: samples at the end that could not be decoded.

    Raises:
        Undecodable: it is not what it looks like.
        BadRow: `no_audio`.
    """

    def __init__(self, file: BinaryIO, found: Found, clock: Clock) -> None:
        self.found = found
        self._clock = clock
        self.total, self.padding = _stated(file, found)
        self.priming = self.lost = 0
        self._origin = 0  # place of the first sample on an Ogg page's scale
        self._one_page = False
        self._file = file
        self._last = (0, 0)  # samples that the last packet gave, and that it states
        self._bytes: Link | Whole
        if is_joinable(found.kind):
            self._bytes = Link(file, found)
        else:
            self._bytes = Whole(file, found.start, _COMPRESSED if found.kind == "mov" else None)
        try:
            with typed():
                self._container: InputContainer = av.open(
                    self._bytes, "r", format=DEMUXERS[found.kind], options=_OPTIONS,
                    metadata_errors="replace", buffer_size=_READ_BYTES, io_open=_empty_file,
                )  # fmt: skip
        finally:
            self._check_refused()
        try:
            with typed():
                self.stream = _first_audio(self._container)
                self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        context = self.stream.codec_context
        context.thread_count = 1
        context.options = _CODEC_OPTIONS.get(context.name, {})
        self._trims = self.found.kind == "mov" or context.name == "speex"
        # of a stream of one page FFmpeg takes too much or too little; samples are counted here
        self._is_vorbis = (
            context.name == "vorbis"
            and self.found.kind == "ogg"
            and len(self._container.streams) == 1
        )
        if self._is_vorbis:
            context.flags2 |= _SKIP_MANUAL
        time_base = self.stream.time_base or Fraction(1, av.time_base)
        self._unit_samples = time_base * context.sample_rate  # of one unit of time stamps
        self._places = Places(self.found.kind, context.sample_rate, time_base)
        if self.found.kind == "mov":
            valid = _itunes_samples(self._container.metadata.get("iTunSMPB", ""))
            if valid and self.stream.time_base == Fraction(1, context.sample_rate):
                self.total, self.padding = valid, MOST_PADDING

    @property
    def held(self) -> int:
        """The most samples at the end that may turn out to be padding, or priming."""
        return MOST_PADDING if self._trims or self._is_vorbis else self.padding

    @property
    def joint(self) -> int | None:
        """Where in the file the next link begins, when this one has been read."""
        return self._bytes.joint

    def frames(self) -> Iterator[AudioFrame | int]:
        """Decode to the end: frames, and numbers of samples of silence that stand for damage."""
        decode, places = self.stream.codec_context.decode, self._places
        rate = max(self.stream.codec_context.sample_rate, 1)
        count = packets = looked = 0
        for number, packet in enumerate(self._container.demux(self.stream)):
            if number == looked:
                looked += _PACKETS_A_LOOK
                self._clock.look(count / rate)
                if not number and self.found.kind == "ogg":
                    self._one_page = self._is_last_page(packet)
            try:
                frames = decode(packet)
            except FFmpegError:
                if packet.size:
                    places.failed(packet, packets, count)
                continue
            if not frames or (self._is_vorbis and not number):
                continue  # the first packet of Vorbis only begins the second
            samples = frames[0].samples if len(frames) == 1 else sum(one.samples for one in frames)
            if not count:
                self._begin(packet, frames[0])
            if (places.stamped or places.pending) and (gap := places.gap(packet.pts, count)):
                yield gap
                count += gap
            if self._trims:
                self._last = samples, round((packet.duration or 0) * self._unit_samples)
            count, packets = count + samples, packets + 1
            yield from frames
        self._check_refused()
        self.lost = places.pending

    def _check_refused(self) -> None:
        if self._bytes.refused:
            raise Undecodable("its header is compressed; convert the file")

    def _begin(self, packet: Packet[AudioStream], frame: AudioFrame) -> None:
        if self.found.kind == "mp3":
            header = header_at(bytes(memoryview(packet)[:4]))
            if header is not None and header.rate != frame.rate:
                frame.sample_rate = header.rate  # what was probed last labels the first frame
        if self.found.kind == "ogg" and packet.pts is not None and not self._one_page:
            self._origin = packet.pts
            if self._trims or self._is_vorbis:
                self.priming = min(max(-packet.pts, 0), MOST_PADDING, frame.samples)

    def _is_last_page(self, packet: Packet[AudioStream]) -> bool:
        """Whether all of an Ogg stream is one page, whose stamps are wrong: it begins at 0."""
        self._file.seek(self.found.start + (packet.pos or 0))
        head = self._file.read(6)
        return head[:4] == b"OggS" and bool(head[5] & 4)

    def excess(self, count: int) -> int:
        """How many of so many samples are padding at the end."""
        if self.total is not None and self.total < count <= self.total + self.padding:
            return count - self.total
        if self._is_vorbis and (granule := self._granule()) is not None:
            excess = self._origin + count - granule
            return excess if 0 < excess <= MOST_PADDING else 0
        given, stated = self._last
        return given - stated if 0 < stated < given else 0

    def missing(self, count: int) -> int:
        """How many samples less than the container states; 0 where it states or lacks few."""
        stated = self._duration_s() * self.stream.codec_context.sample_rate
        short = round(stated) - count
        return short if short > _SHORT_S * self.stream.codec_context.sample_rate else 0

    def _duration_s(self) -> float:
        """Length that a container's header states, 0 where it is FFmpeg's estimate."""
        if self.found.kind not in _STATES_DURATION:
            return 0.0
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        if len(self._container.streams) > 1:
            return 0.0  # a picture may last longer than its sound
        return (self._container.duration or 0) / av.time_base

    def _granule(self) -> int | None:
        return self._bytes.last_granule() if isinstance(self._bytes, Link) else None

    def close(self) -> None:
        """Free what FFmpeg holds."""
        self._container.close()


def _empty_file(*_: object) -> BinaryIO:
    """What a container gets that names another file, whatever it names."""
    return io.BytesIO()


def _first_audio(container: InputContainer) -> AudioStream:
    streams = container.streams.audio
    if not streams:
        raise BadRow(
            "no_audio",
            f"{len(container.streams)} streams and none of audio; name a file that has sound",
        )
    stream = streams[0]
    if stream.codec_context is None or stream.codec_context.name not in _CODECS:
        name = "unknown" if stream.codec_context is None else stream.codec_context.name
        raise Undecodable(f"its codec ({name}) is none that is decoded here")
    return stream


def _stated(file: BinaryIO, found: Found) -> tuple[int | None, int]:
    """Samples that a header states exactly, and the most padding behind them."""
    file.seek(found.start)
    head = file.read(TAG_BYTES)
    if found.kind == "flac":
        return flac_shape(head)[1] or None, 0
    tag = tag_of(head) if found.kind == "mp3" else None
    return (None, 0) if tag is None else (tag.samples, tag.padding)


def _itunes_samples(value: str) -> int:
    """Valid samples by iTunes's gapless comment: priming, padding and length in hexadecimal."""
    words = value.split()
    try:
        return int(words[3], 16) if len(words) > 3 else 0
    except ValueError:
        return 0
