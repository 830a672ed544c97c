"""Stops the decoding of a file that takes far too long for what it gives."""

from __future__ import annotations

import threading
import time

from uniaudio2.audio.containers.stored import Undecodable

_SPARE_S = 60.0  # of computing; beyond it, decoding must be as quick as playing


class Clock:
    """Computing time of one file, all of its links."""

    def __init__(self) -> None:
        self._spent_s = self._links_s = self._link_s = 0.0
        self._before: tuple[int, float] | None = None

    def look(self, decoded_s: float) -> None:
        """Stop what takes far too long for what it gives.

        Args:
            decoded_s: seconds of sound of the link that is open; fewer than before in a new one.

        Raises:
            Undecodable: too much was spent for so many seconds of sound.
        """
        if decoded_s < self._link_s:
            self._links_s += self._link_s
        self._link_s = decoded_s
        thread, now = threading.get_ident(), time.thread_time()
        if self._before is not None and self._before[0] == thread:
            self._spent_s += now - self._before[1]
        self._before = thread, now
        sound_s = self._links_s + decoded_s
        if self._spent_s > _SPARE_S + sound_s:
            raise Undecodable(f"decoding {sound_s:.1f} s of it took {self._spent_s:.0f} s")
