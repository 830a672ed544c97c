"""Which rows of a plan an OUTPUT holds: keys of one and the other, side by side by their ids.

Of many rows the keys are in a temporary file, those whose ids begin with the same bits together,
and one such share of them is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.prefetch.spilled_shares import SpilledShares
from pipelines.planning.keys.row_keys import KEY_BYTES, KeyArray, key_array

_BITS = 6
_MOST_IN_MEMORY = 1 << 18  # rows
_PLACED = np.dtype([("key", f"V{KEY_BYTES}"), ("place", "<i8")])
Places = npt.NDArray[np.int64]


class PlacedKeys:
    """Keys of rows with their places, in the order in which they were added.

    Args:
        most_in_memory: of more rows the keys go to a temporary file, as far as it has room.
    """

    def __init__(self, most_in_memory: int = _MOST_IN_MEMORY) -> None:
        self._most = most_in_memory
        self._waiting: list[bytes] = []
        self._first = self._count = 0
        self._spilled = SpilledShares(1 << _BITS)

    def __len__(self) -> int:
        return self._count

    def add(self, keys: bytes) -> None:
        """Take in keys, one behind the other."""
        self._waiting.append(keys)
        self._count += len(keys) // KEY_BYTES
        if self._count - self._first > self._most:
            self._spill()

    def _spill(self) -> None:
        self._spilled.add(self._split())
        self._waiting, self._first = [], self._count

    def _split(self) -> Iterator[bytes]:
        """What waits, by the first bits of ids."""
        keys = key_array(self._waiting)
        placed = np.empty(len(keys), _PLACED)
        placed["key"] = keys.view(f"V{KEY_BYTES}")
        placed["place"] = np.arange(self._first, self._count)
        share = (keys["id"] >> np.uint64(64 - _BITS)).astype(np.uint8)
        order = np.argsort(share, kind="stable")
        bounds = np.searchsorted(share[order], np.arange(1, 1 << _BITS, dtype=np.uint8))
        for places in np.split(order, bounds):
            yield placed[places].tobytes()

    def shares(self) -> Iterator[tuple[KeyArray, Places]]:
        """Keys whose ids begin with the same bits, and their places, ``[N]`` both."""
        for spilled, waiting in zip(self._spilled, self._split(), strict=True):
            placed = np.frombuffer(spilled + waiting, _PLACED)
            yield key_array([placed["key"].tobytes()]), placed["place"].astype(np.int64)


@dataclass(frozen=True)
class Matched:
    """What a plan and an OUTPUT have in common.

    Attributes:
        is_same: for each row of the plan, whether it is there as it is, ``[N]``.
        changed: places in the plan of rows that are there with other content, ascending, ``[C]``.
        before: of those the places among the committed rows, ``[C]``.
        gone: places of committed rows that the plan does not have, ascending, ``[G]``.
        gone_keys: their keys, ``[G]``.
    """

    is_same: npt.NDArray[np.bool_]
    changed: Places
    before: Places
    gone: Places
    gone_keys: KeyArray


def match(wanted: PlacedKeys, there: PlacedKeys) -> Matched:
    """Find the rows of a plan among those of an OUTPUT.

    Args:
        wanted: keys of the plan's rows.
        there: keys of the rows that are committed; an id occurs once.
    """
    is_same = np.zeros(len(wanted), bool)
    none = np.zeros(0, np.int64)
    changed, before, gone = [none], [none], [none]
    gone_keys = [b""]
    for (keys, places), (others, places_there) in zip(wanted.shares(), there.shares(), strict=True):
        same, other = match_keys(keys, others)
        is_same[places[same >= 0]] = True
        is_other = other >= 0
        changed.append(places[is_other])
        before.append(places_there[other[is_other]])
        is_gone = np.ones(len(others), bool)
        is_gone[same[same >= 0]] = False
        is_gone[other[is_other]] = False
        gone.append(places_there[is_gone])
        gone_keys.append(others[is_gone].tobytes())
    at, at_gone = np.concatenate(changed), np.concatenate(gone)
    order, order_gone = np.argsort(at), np.argsort(at_gone)
    return Matched(
        is_same,
        at[order],
        np.concatenate(before)[order],
        at_gone[order_gone],
        key_array(gone_keys)[order_gone],
    )


def match_keys(wanted: KeyArray, there: KeyArray) -> tuple[Places, Places]:
    """Find keys of a plan among those of an OUTPUT, all in memory.

    Args:
        wanted: keys of the plan's rows, ``[N]``.
        there: keys of the rows that are committed, ``[M]``; an id occurs once.

    Returns:
        for each wanted row the place in `there` of the same row, and of another row of the same
        id, ``[N]`` both, int64, -1 where there is none. A row that is there for one wanted row is
        none for another.
    """
    none = np.full(len(wanted), -1, np.int64)
    if not len(there) or not len(wanted):
        return none, none.copy()
    ids_there, ids = (keys["id"].astype(np.uint64) for keys in (there, wanted))
    order = np.argsort(ids_there, kind="stable")
    ids_there = ids_there[order]
    at = np.minimum(np.searchsorted(ids_there, ids), len(ids_there) - 1)
    place = np.where(ids_there[at] == ids, order[at], -1)
    found = there[np.maximum(place, 0)]
    agree = found["columns"] == wanted["columns"]
    agree &= (found["files"] == wanted["files"]) | (found["files"] == 0) | (wanted["files"] == 0)
    same = np.where((place >= 0) & agree, place, -1)
    is_taken = np.zeros(len(there), bool)
    is_taken[same[same >= 0]] = True
    other = np.where((place >= 0) & (same < 0) & ~is_taken[np.maximum(place, 0)], place, -1)
    return same, other
