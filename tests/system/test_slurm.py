"""The two batch scripts of `configs/slurm`, as they are, in a real Slurm on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.demo import read_results
from pipelines.run_state.status import read_status, verify
from tests.system.slurm import ROOT, Slurm, slurm

SCRIPTS = ROOT / "configs/slurm"
ROWS = 60
FEW = ("--model", "tiny", "--set", "unit_rows=2", "--set", "sampling.max_frames=60")

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.fixture
def cluster_of_slurm() -> Iterator[Slurm]:
    with slurm() as started:
        yield started


def texts(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"one two three {row}\n" for row in range(ROWS)))
    return file


def units(output: Path) -> int:
    return len(list(output.glob("_log/units/*.json")))


def is_whole(output: Path) -> None:
    status = read_status(str(output))
    assert (status.ok, status.errors) == (ROWS, 0)
    assert len({row["id"] for row in read_results(str(output))}) == ROWS
    assert verify(str(output)) == []


def test_an_array_is_told_that_its_time_ends_and_goes_on(
    tmp_path: Path, cluster_of_slurm: Slurm
) -> None:
    """The batch process alone is told, which the run has taken the place of."""
    names = ("a.txt", "b.txt")
    for name in names:
        texts(tmp_path / "in" / name)
    outputs = [tmp_path / "out" / name for name in names]
    line = (
        "--array=0-1", SCRIPTS / "array.sh", "tts", tmp_path / "in", tmp_path / "out", *FEW,
        "--executor", "inline",
    )  # fmt: skip
    job = cluster_of_slurm.submit(*line)
    cluster_of_slurm.await_it(lambda: all(units(output) for output in outputs), job)
    for task in range(2):
        cluster_of_slurm.say("scancel", "--signal=TERM", "--batch", f"{job}_{task}")
    ended = [cluster_of_slurm.end_of(f"{job}_{task}") for task in range(2)]
    assert [facts["ExitCode"] for facts in ended] == ["1:0", "1:0"]
    printed = "".join(file.read_text() for file in cluster_of_slurm.folder.glob("*.out"))
    assert printed.count("stopped: interrupted; the same command goes on where it was") == 2
    assert all(0 < read_status(str(output)).ok < ROWS for output in outputs)

    again = cluster_of_slurm.submit(*line)
    ended = [cluster_of_slurm.end_of(f"{again}_{task}") for task in range(2)]
    assert [facts["JobState"] for facts in ended] == ["COMPLETED", "COMPLETED"]
    for output in outputs:
        is_whole(output)


def test_a_run_over_two_nodes_is_requeued_and_goes_on(
    tmp_path: Path, cluster_of_slurm: Slurm
) -> None:
    """Slurm sends all processes SIGTERM, waits, kills them, and starts the same job again."""
    source, output = texts(tmp_path / "in.txt"), tmp_path / "out"
    job = cluster_of_slurm.submit(SCRIPTS / "two-nodes.sh", "tts", source, output, *FEW)
    cluster_of_slurm.await_it(lambda: units(output) > 1, job)
    cluster_of_slurm.say("scontrol", "requeue", job)
    cluster_of_slurm.await_it(lambda: cluster_of_slurm.facts(job).get("JobState") == "PENDING", job)
    before = read_status(str(output)).ok
    assert 0 < before < ROWS
    cluster_of_slurm.say("scontrol", "update", f"JobId={job}", "StartTime=now")
    ended = cluster_of_slurm.end_of(job, 900)
    printed = cluster_of_slurm.printed(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), printed
    assert "2 nodes: same code" in printed
    assert f"({before} of {ROWS} were done before)" in printed
    is_whole(output)
