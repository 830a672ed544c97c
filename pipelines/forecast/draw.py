"""Draws the rows of a probe: evenly over what is to be done, and the same ones every time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from actors.batch.unit import KEY_BYTES, UnitSpec, unit_fingerprint
from pipelines.planning.units.row_sizes import row_seconds

FEWEST_UNITS = 4
"""Probe units that a spread is told from, where there are rows enough."""
MOST_UNITS = 12
_TOLD_UNITS = 128  # whose columns are read for the length of the rest
_LENGTHS = ("duration", "start_s", "end_s")


@dataclass(frozen=True)
class Drawn:
    """Rows of a probe, as units.

    Attributes:
        warm_up: units of the first rows, which load models; their times tell of nothing else.
        units: units of the others, each with rows from the whole of what is to be done.
        told_s: seconds of audio of a unit's rows by their columns, by its number; empty where
            columns do not tell of all rows.
        row_s: likewise, of the average row of all that is to be done.
    """

    warm_up: tuple[UnitSpec, ...]
    units: tuple[UnitSpec, ...]
    told_s: dict[int, float]
    row_s: float = 0.0


def places(count: int, wanted: int) -> list[int]:
    """Places of `wanted` rows out of `count`, one in each of as many equal stretches.

    The hash of a stretch's number says where in it: a pattern of the manifest that repeats meets
    none of ours.
    """
    wanted = min(wanted, count)
    chosen = []
    for number in range(wanted):
        start, stop = number * count // wanted, (number + 1) * count // wanted
        digest = hashlib.blake2b(str(number).encode(), digest_size=8).digest()
        chosen.append(start + int.from_bytes(digest, "big") % (stop - start))
    return chosen


def probe_units(rows: int, unit_rows: int) -> int:
    """Into how many units the rows of a probe go: of the run's own size, as far as a spread can
    be told of them."""
    return max(1, min(rows, MOST_UNITS, max(FEWEST_UNITS, rows // max(unit_rows, 1))))


def draw(
    pending: Sequence[UnitSpec],
    rows: int,
    warm_rows: int,
    workers: int = 1,
    told: bool = False,
    keyed: bool = False,
) -> Drawn:
    """Draw the rows of a probe.

    Args:
        pending: what is to be done.
        rows: to draw.
        warm_rows: rows of each warm-up unit.
        workers: that each need a warm-up unit.
        told: columns may tell how long audio is.
        keyed: the keys of rows travel, for a job that has a rule.
    """
    ends = list(accumulate(unit.row_count for unit in pending))
    total = ends[-1]
    sizes = sorted(unit.row_count for unit in pending)
    chosen = [_alone(pending, ends, place) for place in places(total, rows)]
    if keyed:
        keys = (base64.b64encode(row.row_keys).decode() for row in chosen)
        chosen = [replace(row, shown_keys=key) for row, key in zip(chosen, keys, strict=True)]
    count = probe_units(len(chosen), sizes[len(sizes) // 2])
    warm = [chosen[n % len(chosen)] for n in range(warm_rows * workers)]
    warm_up = [_joined(n, warm[n * warm_rows : (n + 1) * warm_rows]) for n in range(workers)]
    units = [_joined(workers + n, chosen[n::count]) for n in range(count)]
    lengths, row_s = _told_lengths(pending, [*warm_up, *units]) if told else ({}, 0.0)
    return Drawn(tuple(warm_up), tuple(units), lengths, row_s)


def _alone(pending: Sequence[UnitSpec], ends: Sequence[int], place: int) -> UnitSpec:
    """One row as a unit, read as little beside it as its file lets."""
    index = int(np.searchsorted(ends, place, side="right"))
    unit = pending[index]
    at = place - (ends[index] - unit.row_count)
    number = unit.row_numbers[at]
    key = unit.row_keys[at * KEY_BYTES : (at + 1) * KEY_BYTES]
    unit = replace(unit, keys=key, wanted=(), kept="", former="")
    if unit.rows:
        return replace(unit, only=(number,))
    first = unit.start + number
    return replace(unit, start=first, stop=first + 1, only=())


def _joined(number: int, rows: Sequence[UnitSpec]) -> UnitSpec:
    """A unit of such rows."""
    members = tuple(replace(row, unit=number, fingerprint="") for row in rows)
    keys = b"".join(row.row_keys for row in rows)
    return UnitSpec(
        number, "", 0, len(rows), "", unit_fingerprint(keys), keys=keys, members=members
    )


def _told_lengths(
    pending: Sequence[UnitSpec], units: Sequence[UnitSpec]
) -> tuple[dict[int, float], float]:
    """See `Drawn.told_s` and `Drawn.row_s`; the latter of some units, where there are very many."""
    told: dict[int, float] = {}
    for unit in units:
        seconds = np.concatenate([_seconds(row) for row in unit.members])
        if not len(seconds) or (seconds <= 0).any():
            return {}, 0.0
        told[unit.unit] = float(seconds.sum())
    some = [pending[place] for place in places(len(pending), _TOLD_UNITS)]
    lengths = np.concatenate([_seconds(unit) for unit in some])
    if (lengths <= 0).any():
        return {}, 0.0
    return told, float(lengths.mean())


def _seconds(unit: UnitSpec) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds of the rows of a unit by their columns, ``[N]``; 0 where they do not tell."""
    try:
        return row_seconds(unit.read([*_LENGTHS]))
    except (KeyError, ValueError):  # a file without one of these columns
        return row_seconds(unit.read())
