"""``python -m uniaudio2.training STAGE --folder DIR``: one stage, or all of them in order."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from uniaudio2.training.evaluate import evaluate
from uniaudio2.training.recipe import NANO
from uniaudio2.training.stages import STAGES, TrainingRun


def main() -> None:
    """Run what was asked for; a stage that is done already is not done again."""
    parser = argparse.ArgumentParser(prog="python -m uniaudio2.training", description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "evaluate", "all"])
    parser.add_argument("--folder", type=Path, required=True, help="everything is kept here")
    parser.add_argument("--model", type=Path, help="evaluate this model folder instead")
    parser.add_argument(
        "--clips", "--rows", type=int, default=400, help="of each group to evaluate on"
    )
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    asked.folder.mkdir(parents=True, exist_ok=True)
    run = TrainingRun(asked.folder, NANO, asked.device, asked.workers)
    for stage in [*STAGES, "evaluate"] if asked.stage == "all" else [asked.stage]:
        begun = time.monotonic()
        if stage == "evaluate":
            model = asked.model or run.model_folder
            evaluate(model, run.recogniser(), run.evaluation_folder, asked.clips)
        else:
            STAGES[stage](run)
        print(f"{stage}: {time.monotonic() - begun:.0f} s", flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    main()
