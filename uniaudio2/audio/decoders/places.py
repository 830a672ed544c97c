"""Keeps what follows damage in its place: how much silence stands for what could not be decoded."""

from __future__ import annotations

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

    Attributes:
        pending: samples of what could not be decoded and was followed by nothing yet.
    """

    def __init__(self, kind: str, rate: int) -> None:
        self.pending = 0
        self._raw = kind in _RAW
        self._mpeg = kind == "mp3"
        self._stamped = kind in _STAMPED
        self._strays = _STRAYS_S.get(kind, 0.0) * rate
        self._rate = rate
        self._lead: int | None = None  # how far stamps are ahead of the count
        self._packets = self._bytes = self._samples = 0

    def failed(self, packet: Packet[AudioStream]) -> None:
        """Take a packet that could not be decoded."""
        if bytes(memoryview(packet)[:11]).startswith(_TAGS):
            return
        if not self._raw:
            self.pending += self._duration(packet)
        elif self._packets:
            self.pending += self._frames(packet) * self._samples

    def gap(self, packet: Packet[AudioStream], samples: int, count: int) -> int:
        """Samples of silence in front of what a packet gave.

        Args:
            packet: was decoded.
            samples: that it gave.
            count: of the samples before it, silence included.
        """
        self._packets, self._bytes = self._packets + 1, self._bytes + packet.size
        self._samples = samples
        gap, self.pending = self.pending, 0
        if self._stamped and packet.pts is not None and packet.time_base is not None:
            lead = round(packet.pts * packet.time_base * self._rate) - count
            known, self._lead = self._lead, lead
            jump = 0 if known is None else lead - known
            if self._strays < jump <= _LARGEST_S * self._rate:
                self._lead = known
                return jump
        return gap

    def _frames(self, packet: Packet[AudioStream]) -> int:
        """How many frames a packet stands for: its first by its header, the rest by the mean."""
        header = header_at(bytes(memoryview(packet)[:HEADER_BYTES])) if self._mpeg else None
        first = 0 if header is None else min(header.size, packet.size)
        rest = round((packet.size - first) * self._packets / self._bytes)
        return max(rest + bool(first), 1)

    def _duration(self, packet: Packet[AudioStream]) -> int:
        if not packet.duration or packet.time_base is None:
            return 0
        length = round(packet.duration * packet.time_base * self._rate)
        return length if 0 < length <= _LARGEST_S * self._rate else 0
