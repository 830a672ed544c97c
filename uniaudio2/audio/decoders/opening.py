"""The one place that decides which decoder reads a file."""

from __future__ import annotations

from typing import BinaryIO

from uniaudio2.audio.containers.flac_head import FLAC_HEAD_BYTES, flac_shape
from uniaudio2.audio.containers.recognise import Found, is_id3, recognise
from uniaudio2.audio.containers.sphere import read_sphere
from uniaudio2.audio.containers.stored import Undecodable
from uniaudio2.audio.containers.wav import Coded, read_wav
from uniaudio2.audio.decoders.block import Decoder
from uniaudio2.audio.decoders.ffmpeg import FFmpegDecoder
from uniaudio2.audio.decoders.flac import FlacDecoder
from uniaudio2.audio.decoders.opened import MOST_PADDING
from uniaudio2.audio.decoders.pcm import PcmDecoder
from uniaudio2.audio.decoders.sndfile import SndfileDecoder

# plain samples in these are libsndfile's, anything coded FFmpeg's
_SNDFILE_FIRST = ("aiff", "au", "caf", "voc")


def open_decoder(file: BinaryIO) -> Decoder:
    """Open a file with the decoder that reads all of it, chosen by its bytes.

    Args:
        file: binary and seekable; its name is not looked at. It stays open.

    Raises:
        Undecodable: nothing that can be decoded.
        BadRow: `no_audio`, or `unreadable_audio` for what no recording has.
    """
    found = recognise(file)
    if found is None:
        return _unrecognised(file)
    if found.kind in ("wav", "w64"):
        wav = read_wav(file, found)
        if not isinstance(wav, Coded):
            return PcmDecoder(file, wav)
        return FFmpegDecoder(
            file, found, None if wav.samples is None else (wav.samples, MOST_PADDING)
        )
    if found.kind == "sphere":
        sphere = read_sphere(file, found)
        return FFmpegDecoder(file, found) if sphere is None else PcmDecoder(file, sphere)
    if found.kind == "flac":
        return _flac(file, found)
    if found.kind in _SNDFILE_FIRST and found.start == 0 and (plain := _plain(file)):
        return plain
    return FFmpegDecoder(file, found)


def _flac(file: BinaryIO, found: Found) -> Decoder:
    file.seek(found.start)
    channels, samples = flac_shape(file.read(FLAC_HEAD_BYTES))
    if samples and channels <= 2:
        try:
            return FlacDecoder(file, found)
        except Undecodable:
            pass
    return FFmpegDecoder(file, found)


def _unrecognised(file: BinaryIO) -> Decoder:
    """A rare format of libsndfile; what it would give to its MP3 decoder is refused."""
    file.seek(0)
    head = file.read(10)
    if is_id3(head) or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        raise Undecodable("no two frames of MPEG audio follow each other; fetch the file again")
    return SndfileDecoder(file)


def _plain(file: BinaryIO) -> SndfileDecoder | None:
    """A file of samples that are stored as they are; None for any other."""
    try:
        decoder = SndfileDecoder(file)
    except Undecodable:
        return None
    if decoder.is_plain:
        return decoder
    decoder.close()
    return None
