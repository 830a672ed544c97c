"""Whether a file is audio by its first bytes, whatever its name is.

It is a guess that costs one small read and opens nothing: where it is wrong, the file is a row that
fails. Pictures and texts in containers that audio uses too (WebP in RIFF, AVIF in MP4) are told
apart.
"""

from __future__ import annotations

LOOK_BYTES = 4096
_BEGINNINGS = (
    b"fLaC", b"OggS", b"ID3", b"caff", b"NIST_1A", b"wvpk", b"MAC ", b"TTA1", b"#!AMR", b".snd",
    b"\x0bw", b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11", b"Creative Voice File\x1a", b"FLV\x01",
    b"riff\x2e\x91\xcf\x11", b"MPCK", b"MP+", b"DSD ", b"\x00\x00\x01\xba",
)  # fmt: skip
_FORMS = {
    b"RIFF": (b"WAVE", b"AVI "), b"RIFX": (b"WAVE",), b"RF64": (b"WAVE",), b"BW64": (b"WAVE",),
    b"FORM": (b"AIFF", b"AIFC", b"8SVX", b"16SV"),
}  # fmt: skip
_BRANDS_OF_PICTURES = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"crx ")
_TS_PACKET_BYTES = 188
_KBPS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1, layer III
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),  # MPEG-1, layer II
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5, both
)
_RATES_HZ = (44100, 48000, 32000)


def holds_audio(head: bytes) -> bool:
    """Tell whether a file begins as one of a kind that holds audio, or video with audio.

    Args:
        head: the first `LOOK_BYTES` of the file, or fewer where it is shorter.
    """
    if head.startswith(_BEGINNINGS):
        return True
    if head[8:12] in _FORMS.get(head[:4], ()):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] not in _BRANDS_OF_PICTURES
    packets = head[: 3 * _TS_PACKET_BYTES]
    if len(packets) == 3 * _TS_PACKET_BYTES and packets[::_TS_PACKET_BYTES] == b"GGG":
        return True  # an MPEG transport stream
    return _is_frame_pair(head)


def _is_frame_pair(head: bytes) -> bool:
    """Two MPEG or ADTS audio frames, one behind the other: the first two bytes alone also begin
    texts in UTF-16."""
    length = _frame_bytes(head)
    return length > 0 and (len(head) < length + 4 or _frame_bytes(head[length:]) > 0)


def _frame_bytes(head: bytes) -> int:
    """Length of the audio frame that begins here; 0 where none does.

    Source: ISO/IEC 11172-3, 13818-3 (MPEG layers II and III), 13818-7 (ADTS).
    """
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if head[1] & 0xF6 == 0xF0:  # ADTS: twelve bits of sync, layer 0
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length if head[2] >> 2 & 15 < 13 and length > 7 else 0
    kbps_at, rate_at, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer not in (1, 2) or kbps_at in (0, 15) or rate_at == 3:
        return 0
    is_first = version == 3  # MPEG-1
    rate_hz = _RATES_HZ[rate_at] // {3: 1, 2: 2, 0: 4}[version]
    kbps = _KBPS[2 if not is_first else 1 if layer == 2 else 0][kbps_at]
    coefficient = 144 if is_first or layer == 2 else 72
    return coefficient * kbps * 1000 // rate_hz + padding
