"""Planning a corpus in a store: shards by the thousand, each request 20 ms away, and a large tar,
without an index and with one.

Goals: 20,000 shards are planned in 60 s; of a tar of 2 GB with members of 1 MB at most 2 % is read.
Another build plans fewer shards, for it takes its time for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.shard_store import (
    BUCKET,
    INDEXED_TAR,
    MEMBER_BYTES,
    TAR,
    TARS,
    Shards,
    asked_of,
    serving,
)

HERE = Path(__file__).parents[1]
SHARDS, ROWS, DELAY_S, MEMBERS = 20_000, 50, 0.02, 2000
MANY_TARS, TAR_MEMBERS = 2000, 16
_FEWER = 100  # shards for another build
_QUICK = 40
_TIMEOUT_S = 3600.0


def _planned(checkout: Path, address: str, uri: str) -> tuple[float, float, int]:
    """Seconds until the first unit and until the plan is whole, and rows, by a checkout's code."""
    path = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    environment = {
        **os.environ, **keys, "AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": path,
    }  # fmt: skip
    answer = subprocess.run(  # noqa: S603 - this project's own program
        [sys.executable, str(Path(__file__).with_name("manifest_costs.py")), "store", uri],
        cwd=checkout, env=environment, timeout=_TIMEOUT_S, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    first_s, whole_s, rows = json.loads(answer.stdout.splitlines()[-1])
    return first_s, whole_s, int(rows)


def _shards(checkout: Path, count: int) -> tuple[float, float]:
    with serving(Shards(count, ROWS, DELAY_S)) as address:
        first_s, whole_s, rows = _planned(checkout, address, f"s3://{BUCKET}/train")
        if rows != count * ROWS:
            raise RuntimeError(f"{rows} rows of {count * ROWS} were planned")
        asked = asked_of(address)
    requests = ", ".join(f"{asked.get(kind, 0)} {kind}" for kind in ("LIST", "HEAD", "GET"))
    print(f"  {count} shards: first unit {first_s:.1f} s, whole plan {whole_s:.1f} s "
          f"({1e3 * whole_s / count:.1f} ms a shard; {requests})", flush=True)  # fmt: skip
    return first_s, whole_s


def _tar(checkout: Path, members: int, key: str = TAR) -> float:
    with serving(Shards(0, 1, DELAY_S, members)) as address:
        _, whole_s, rows = _planned(checkout, address, f"s3://{BUCKET}/{key}")
        if rows != members:
            raise RuntimeError(f"{rows} of {members} members were found")
        asked = asked_of(address)
    share = asked["bytes"] / (members * MEMBER_BYTES)
    print(f"  {key}, {members} MiB: {100 * share:.2f} % read in {asked['GET']} requests, "
          f"{whole_s:.1f} s", flush=True)  # fmt: skip
    return share


def _tars(count: int) -> tuple[float, float]:
    """Seconds until the first unit of many tars, and until their plan is whole."""
    with serving(Shards(0, 1, DELAY_S, TAR_MEMBERS, count)) as address:
        first_s, whole_s, rows = _planned(HERE, address, f"s3://{BUCKET}/{TARS}")
        if rows != count * TAR_MEMBERS:
            raise RuntimeError(f"{rows} of {count * TAR_MEMBERS} members were found")
        asked = asked_of(address)
    requests = ", ".join(f"{asked.get(kind, 0)} {kind}" for kind in ("LIST", "HEAD", "GET"))
    print(f"  {count} tars of {TAR_MEMBERS} MiB: first unit {first_s:.1f} s, "
          f"whole plan {whole_s:.1f} s ({requests})", flush=True)  # fmt: skip
    return first_s, whole_s


def run(quick: bool, against: Sequence[Path] = ()) -> Mapping[str, float]:
    """Measure and print; returns the figures of this checkout by name.

    Args:
        quick: fewer shards, a smaller tar.
        against: other checkouts, which plan a hundredth of the shards.
    """
    shards, members = (SHARDS // _QUICK, MEMBERS // _QUICK) if quick else (SHARDS, MEMBERS)
    print("this one:")
    first_s, whole_s = _shards(HERE, shards)
    figures = {
        "plan.first_unit_s": first_s, "plan.whole_s": whole_s,
        "plan.tar_share": _tar(HERE, members),
        "plan.indexed_tar_share": _tar(HERE, members, INDEXED_TAR),
    }  # fmt: skip
    figures["plan.tars_first_unit_s"], figures["plan.tars_whole_s"] = _tars(
        MANY_TARS // _QUICK if quick else MANY_TARS
    )
    for checkout in against:
        print(f"{checkout}:")
        fewer = max(shards // _FEWER, 10)
        _, before_s = _shards(checkout, fewer)
        figures["plan.shard_ratio"] = (before_s / fewer) / (whole_s / shards)
        _tar(checkout, members // 10)
    return figures
