"""`make gpu`: steps are remembered, and one that fails or takes too long ends none but itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.on_gpu.__main__ import main, steps
from benchmarks.on_gpu.steps import State, Step, run_steps

ROOT = Path(__file__).parents[1]


def step(name: str, code: str, limit_s: float = 30) -> Step:
    return Step(name, [sys.executable, "-S", "-c", code], limit_s)


APPEND = "open('made', 'a').write('x')"


def test_the_same_call_again_does_what_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "state/state.json"
    asked = [
        step("one", APPEND + "; print('said')"),
        step("late", "import time; time.sleep(60)", 0.3),
        step("fails", "raise SystemExit(3)"),
        step("last", APPEND),
    ]
    assert run_steps(asked, State(path, "a cpu"), tmp_path, 60, {}) == 2
    assert (tmp_path / "made").read_text() == "xx", "one that fails does not end the rest"
    again = State(path, "a cpu")
    assert {name: again.steps[name]["code"] for name in again.steps} == {
        "one": 0, "late": -9, "fails": 3, "last": 0,
    }  # fmt: skip
    assert again.steps["one"]["said"] == "said\n" == (path.parent / "one.txt").read_text()
    mended = [asked[0], step("late", APPEND), step("fails", APPEND), asked[3]]
    assert run_steps(mended, again, tmp_path, 60, {}) == 0
    assert (tmp_path / "made").read_text() == "xxxx", "what was done is not done again"
    assert not State(path, "b cpu").steps, "of another commit"


def test_without_time_nothing_begins(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json", "a cpu")
    assert run_steps([step("one", APPEND)], state, tmp_path, 0, {}) == 1
    assert not (tmp_path / "made").exists()


def test_steps_name_what_is_there() -> None:
    for device in ("cpu", "cuda"):
        words = [word for one in steps(device) for word in one.words]
        assert all((ROOT / word).is_file() for word in words if word.startswith("tests/"))
        assert ("--quick" in [w for s in steps(device) if s.name == "lm" for w in s.words]) == (
            device == "cpu"
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["on_gpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "no GPU is seen here; make gpu DEVICE=cpu tries the same with narrow shapes"
    ]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_goes_to_its_end_on_a_cpu(tmp_path: Path) -> None:
    results = ROOT / "benchmarks/results.jsonl"
    before = results.read_bytes()
    words = [sys.executable, "-m", "benchmarks.on_gpu", "--device", "cpu"]
    words += ["--state", str(tmp_path / "state.json"), "--budget-s", "870"]
    try:
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=880)
        assert ended.returncode == 0, ended.stdout[-2000:]
        assert results.read_bytes().count(b"\n") == before.count(b"\n") + 6
    finally:
        results.write_bytes(before)
