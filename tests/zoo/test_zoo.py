"""Every animal of the zoo through the loading stage, and one run over all of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.storage.file_systems import read_uri
from pipelines import JobConfig, run_job
from pipelines.manifest.discovery import find_sources
from pipelines.run_state.commit_log import committed_parts
from tests.zoo.make_zoo import LIMIT_S, make_zoo, write_parquet

SLOWEST_S = 5.0
LARGEST_GROWTH_KB = 600_000
MARK = Path("/tmp/zoo-was-here")  # noqa: S108 - what a hostile pickle would touch


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What came of every row, from a process of its own."""
    folder = tmp_path_factory.mktemp("zoo")
    MARK.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.zoo.walk", str(folder)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=200,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"the walk ended at {lines[-1:]}: {done.stderr[-2000:]}"
    assert done.stderr == ""  # no decoder has anything to say to a terminal
    disk = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    assert disk < 60_000_000
    return [line for line in lines if "found" in line]


def test_the_zoo_is_large_and_the_same_each_time(tmp_path: Path) -> None:
    zoos = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        zoos.append(make_zoo(tmp_path / name))
    first, second = zoos
    assert len(first.audio) + len(first.typed) + len(first.codes) + len(first.texts) >= 300
    assert len({specimen.id for specimen in first.audio}) == len(first.audio)
    assert [s.id for s in first.audio] == [s.id for s in second.audio]
    for name in ("damaged-3.mp3", "magic-2.wav", "not-audio-7.wav"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_every_row_ends_as_it_may(walked: list[dict[str, Any]]) -> None:
    wrong = [(row["id"], row["found"]) for row in walked if row["found"] not in row["expected"]]
    assert wrong == []
    assert Counter(row["found"] for row in walked)["ok"] >= 80
    assert not MARK.exists()


def test_no_row_takes_long_or_much(walked: list[dict[str, Any]]) -> None:
    assert [row["id"] for row in walked if row["seconds"] > SLOWEST_S] == []
    assert walked[-1]["peak_kb"] - walked[0]["peak_kb"] < LARGEST_GROWTH_KB


def _read(output: str, table: str) -> list[dict[str, Any]]:
    parts = committed_parts(output, table)
    return [row for part in parts for row in pq.read_table(io.BytesIO(read_uri(part))).to_pylist()]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_run_over_the_zoo_accounts_for_every_row(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    zoo = make_zoo(folder)
    if kind == "parquet":  # the same files by another way: a part will do
        zoo = replace(zoo, audio=zoo.audio[::4])
    expected = {specimen.id: specimen.expected for specimen in zoo.audio}
    source = zoo.write_manifest()
    if kind == "jsonl":
        (table,) = [found.table for found in find_sources(str(source))]
        ids = table["id"].to_pylist()
        lines = {
            row_id: frozenset({"bad_manifest_row"}) for row_id in ids if row_id not in expected
        }
        assert len(lines) == len(zoo.lines)
        expected |= lines
    else:
        source = folder / "manifest.parquet"
        write_parquet(source, zoo.audio)
    out = str(tmp_path / "out")
    job = JobConfig(
        task="tokenize",
        input=str(source),
        output=out,
        model="tiny",
        load={"max_duration_s": LIMIT_S},
    )
    result = run_job(job)
    good, bad = _read(out, "data"), _read(out, "errors")
    outcomes = {row["id"]: "ok" for row in good} | {row["id"]: row["kind"] for row in bad}
    assert len(good) + len(bad) == len(outcomes) == len(expected)
    assert {
        row_id: found for row_id, found in outcomes.items() if found not in expected[row_id]
    } == {}
    assert (result.exit_code, result.counts.ok, result.counts.errors) == (3, len(good), len(bad))
    assert all(len(row["recon_codes"]) > 0 for row in good)
    assert all(json.loads(row["input"]) is not None and row["message"] for row in bad)
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside == {"in", "out"}
