"""Keeps what follows damage in its place: how much silence stands for what could not be decoded."""

from __future__ import annotations

from fractions import Fraction

from av.audio.stream import AudioStream
from av.packet import Packet

from uniaudio2.audio.containers.mpeg_audio import HEADER_BYTES, header_at

# parsers cut these streams into packets; damage that hides a header makes one packet of several
_RAW = frozenset({"mp3", "aac", "ac3", "eac3", "loas", "dts"})
# time stamps of these count samples and go on where packets were lost
_STAMPED = frozenset({"flac", "ogg"})
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")
_LARGEST_S = 60.0  # a longer jump is another recording, as where a live stream was joined again
# Vorbis's stamps stray by a packet, FLAC's never do
_STRAYS_S = {"flac": 0.0, "ogg": 0.05}


class Places:
    """Watches the packets of one stream.

    Args:
        kind: of the container.
        rate: of the stream in Hz.
        time_base: seconds of one unit of its time stamps.

    Attributes:
        stamped: whether time stamps tell what is missing, so that each packet must be shown.
        pending: samples of what could not be decoded and was followed by nothing yet.
    """

    def __init__(self, kind: str, rate: int, time_base: Fraction) -> None:
        self.pending = 0
        self.stamped = kind in _STAMPED
        self._raw = kind in _RAW
        self._mpeg = kind == "mp3"
        self._strays = _STRAYS_S.get(kind, 0.0) * rate
        self._most = _LARGEST_S * rate
        self._scale = time_base * rate if time_base * rate != 1 else 1
        self._lead: int | None = None  # how far stamps are ahead of the count

    def failed(self, packet: Packet[AudioStream], packets: int, count: int) -> None:
        """Take a packet that could not be decoded.

        Args:
            packet: may hold what was several packets, where damage hid their headers.
            packets: decoded before it.
            count: of the samples before it, silence included.
        """
        if bytes(memoryview(packet)[:11]).startswith(_TAGS):
            return
        if not self._raw:
            length = round((packet.duration or 0) * self._scale) - _priming(packet)
            self.pending += length if 0 < length <= self._most else 0
        elif packets and packet.pos:
            frames = self._frames(packet, packet.pos / packets)
            self.pending += round(count / packets) * frames

    def gap(self, pts: int | None, count: int) -> int:
        """Samples of silence in front of what a packet gave.

        Args:
            pts: the time stamp of a packet that was decoded.
            count: of the samples before it, silence included.
        """
        gap, self.pending = self.pending, 0
        if not self.stamped or pts is None:
            return gap
        lead = (pts if self._scale == 1 else round(pts * self._scale)) - count
        known, self._lead = self._lead, lead
        if known == lead or known is None:
            return gap
        if self._strays < lead - known <= self._most:
            self._lead = known
            return lead - known
        return gap

    def _frames(self, packet: Packet[AudioStream], mean_bytes: float) -> int:
        """How many frames a packet stands for: its first by its header, the rest by the mean."""
        header = header_at(bytes(memoryview(packet)[:HEADER_BYTES])) if self._mpeg else None
        first = 0 if header is None else min(header.size, packet.size)
        return max(round((packet.size - first) / mean_bytes) + bool(first), 1)


def _priming(packet: Packet[AudioStream]) -> int:
    """Samples at a packet's beginning that are not to be heard."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
