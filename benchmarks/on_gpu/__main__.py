"""``make gpu``: skipped tests, benches with bounds, agreement and kernels, within ten minutes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.on_gpu.steps import State, Step, run_steps
from benchmarks.record import commit

_HERE = Path(__file__).parents[2]
_BUDGET_S = 600.0
_TESTS = (
    "tests/uniaudio2/runtime/test_cuda_graphs.py",
    "tests/uniaudio2/lm/engine/test_engine_cuda_graphs.py",
)


def steps(device: str) -> list[Step]:
    """What a device is asked; a CPU with narrow shapes and few rows, to see that it works."""
    quick = ["--quick"] if device == "cpu" else []
    bench = [sys.executable, "-m", "benchmarks"]
    return [
        Step("tests", [sys.executable, "-m", "pytest", *_TESTS, "-rs"], 120),
        Step("lm", [*bench, "gpu", "--part", "lm", *quick], 120),
        Step("encoder", [*bench, "gpu", "--part", "encoder", *quick], 90),
        Step("decoder", [*bench, "gpu", "--part", "decoder", *quick], 90),
        Step("kernels", [*bench, "kernels", *quick], 120),
        Step("agreement", [*bench, "agreement", "--quick"], 120),
        Step("runs", [*bench, "gpu", "--part", "runs", *quick], 240),
    ]


def main() -> None:
    """Go on where the last call ended; the exit code is 1 while anything is not done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_gpu")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--state", type=Path, default=_HERE / "build/gpu/state.json")
    parser.add_argument("--budget-s", type=float, default=_BUDGET_S, help="of one call")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.exit(
            2, "no GPU is seen here; make gpu DEVICE=cpu tries the same with narrow shapes\n"
        )
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if arguments.device == "cpu" else {}
    # the first figure that is noted makes the checkout a changed one
    state = State(arguments.state, f"{commit().removesuffix('-dirty')} {arguments.device}")
    asked = steps(arguments.device)
    undone = run_steps(asked, state, _HERE, arguments.budget_s, hidden)
    print(
        f"{len(asked) - undone} of {len(asked)} steps are done; figures: benchmarks/results.jsonl"
    )
    sys.exit(1 if undone else 0)


if __name__ == "__main__":
    main()
