"""Voices of synthetic speech: reference recordings that a job names, which rows draw or choose.

What a row draws depends on the job's seed, its id and the names of all voices, and on nothing else:
neither batch, order, restart nor other rows change it. So each voice has its share of the rows, as
even as independent draws are, and no more even than that.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.inputs.audio import load_wave
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from uniaudio2.errors import BadRow
from uniaudio2.frozen import nearest
from uniaudio2.seeds import row_seed
from uniaudio2.shown import quoted

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_VOICE_S = 60.0
"""Longest reference recording; a voice is known by less."""
_THREADS = 4
_T = TypeVar("_T")


@dataclass(frozen=True)
class Voice:
    """One reference recording.

    Attributes:
        name: of the voice.
        row: what names or holds the recording, as the columns of a manifest.
        policy: where the manifest is, and what it may name.
        fingerprint: hash of its samples when the job began.
    """

    name: str
    row: Mapping[str, Any]
    policy: AddressPolicy
    fingerprint: str

    def load(self, limits: Limits) -> Tensor:
        """Fetch and decode it, ``[N]`` float32 at 24 kHz.

        Raises:
            BadRow: it cannot be read, or is another recording than when the job began.
        """
        try:
            wave = load_wave(self.row, self.policy, LONGEST_VOICE_S, limits)
        except BadRow as error:
            raise BadRow(error.kind, f"voice {quoted(self.name)}: {error.message}") from error
        if wave_fingerprint(wave) != self.fingerprint:
            raise BadRow(
                "changed_voice",
                f"voice {quoted(self.name)} is another recording than when the run began; put the "
                "old one back, or start a job with the new one",
            )
        return wave


def wave_fingerprint(wave: Tensor) -> str:
    """Hash of the samples of a recording."""
    return hashlib.blake2b(wave.numpy().tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class VoiceDraw:
    """Which voice a row has.

    Attributes:
        names: of all voices, sorted.
        seed: the job's.
    """

    names: tuple[str, ...]
    seed: int

    def voice_of(self, row_id: str, asked: object = None) -> str:
        """The voice that a row names, or draws.

        Args:
            row_id: its id.
            asked: what it has in its column `voice`; None draws.

        Raises:
            BadRow: `unknown_voice`.
        """
        if asked is None:
            return self.names[row_seed(self.seed, row_id, "voice") % len(self.names)]
        name = str(asked)
        if name not in self._known:
            raise BadRow(
                "unknown_voice", f"voice {quoted(name)} is unknown; {nearest(name, [*self.names])}"
            )
        return name

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)


@dataclass(frozen=True)
class Voices:
    """All voices of a job, by their names in order.

    Attributes:
        voices: at least one.
        limits: of bytes and time of a recording.
    """

    voices: tuple[Voice, ...]
    limits: Limits

    @property
    def names(self) -> tuple[str, ...]:
        """Of the voices, sorted."""
        return tuple(voice.name for voice in self.voices)

    @property
    def fingerprint(self) -> str:
        """Hash of all names and recordings."""
        digest = hashlib.blake2b(digest_size=16)
        for voice in self.voices:
            digest.update(f"{len(voice.name)}\x00{voice.name}\x00{voice.fingerprint}".encode())
        return digest.hexdigest()

    def load(self, names: Iterable[str]) -> dict[str, Tensor | BadRow]:
        """Fetch and decode some recordings side by side; by name, each as it is or why it is not
        there."""
        known = {voice.name: voice for voice in self.voices}

        def load(name: str) -> Tensor | BadRow:
            try:
                return known[name].load(self.limits)
            except BadRow as error:
                return error

        wanted = list(dict.fromkeys(names))
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(wanted, pool.map(load, wanted), strict=True))


class PerVoice(Generic[_T]):
    """What a worker makes of voices: once of each, and no more than some are kept.

    Args:
        voices: of the job.
        make: of several recordings, in their order.
        most: kept at once; the one that was not asked for longest goes.
    """

    def __init__(
        self, voices: Voices, make: Callable[[list[Tensor]], Iterable[_T]], most: int
    ) -> None:
        self._voices, self._make, self._most = voices, make, most
        self._kept: OrderedDict[str, _T] = OrderedDict()
        self._lock = Lock()

    def of(self, names: Iterable[str]) -> dict[str, _T | BadRow]:
        """What was made of some voices, by name, or why their recording is not there."""
        wanted = list(dict.fromkeys(names))
        with self._lock:
            found: dict[str, _T | BadRow] = {
                name: self._kept[name] for name in wanted if name in self._kept
            }
            loaded = self._voices.load(name for name in wanted if name not in found)
            waves = {name: one for name, one in loaded.items() if not isinstance(one, BadRow)}
            made = dict(zip(waves, self._make(list(waves.values())), strict=True)) if waves else {}
            found |= {name: one for name, one in loaded.items() if isinstance(one, BadRow)}
            found |= made
            self._kept |= made
            for name in wanted:
                if name in self._kept:
                    self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found
