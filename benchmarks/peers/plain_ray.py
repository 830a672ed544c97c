"""Transcribes a manifest as a user of Ray Data would write it down: ``MANIFEST OUTPUT WORKERS``.

It calls this project's model objects and nothing else of the project: no units, no commits, no
table of errors. It is here to be measured beside `uniaudio2 run`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import ray

BATCH_ROWS = SLOTS = 32


class Transcriber:
    """An actor with the whole model."""

    def __init__(self) -> None:
        from uniaudio2 import UniAudio2
        from uniaudio2.lm.sampling.sampling import Sampling
        from uniaudio2.tasks.table import get_task

        self.model = UniAudio2.load("nano", parts=("encoder", "lm"), threads=1)
        self.task = get_task("asr")
        self.sampling = Sampling.of_model(self.model.config, self.task)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        from uniaudio2.audio.files import decode_audio

        waves = [decode_audio(Path(path).read_bytes()) for path in batch["audio"]]
        requests = [
            self.model.request(
                self.task, {"audio": codes}, self.task.instruction, seed, self.sampling
            )
            for seed, codes in enumerate(self.model.encode(waves))
        ]
        outputs = self.model.generate(requests, self.sampling, SLOTS)
        texts = [self.model.text_of(output.text_ids) for output in outputs]
        return {"id": batch["id"], "text": np.array(texts, dtype=object)}


def main(manifest: str, output: str, workers: int) -> None:
    """Read lines of JSON, transcribe, write Parquet."""
    ray.init("local", num_cpus=workers, include_dashboard=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_json(manifest, lines=True)
    made = rows.repartition(-(-rows.count() // BATCH_ROWS)).map_batches(
        Transcriber,
        batch_size=BATCH_ROWS,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0.5,  # with a whole CPU each, reading finds none and the run hangs
    )
    made.write_parquet(output)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
