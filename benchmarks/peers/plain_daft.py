"""Transcribes a manifest as a user of Daft would write it down: ``MANIFEST OUTPUT WORKERS``.

The same model objects as in `plain_ray`, in a class whose instances have processes of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import daft

BATCH_ROWS = SLOTS = 32


class Transcriber:
    """A process with the whole model."""

    def __init__(self) -> None:
        from uniaudio2 import UniAudio2
        from uniaudio2.lm.sampling.sampling import Sampling
        from uniaudio2.tasks.table import get_task

        self.model = UniAudio2.load("nano", parts=("encoder", "lm"), threads=1)
        self.task = get_task("asr")
        self.sampling = Sampling.of_model(self.model.config, self.task)

    @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=BATCH_ROWS)
    def transcribe(self, paths: daft.Series) -> list[str]:
        """Texts of files."""
        from uniaudio2.audio.files import decode_audio

        waves = [decode_audio(Path(path).read_bytes()) for path in paths.to_pylist()]
        requests = [
            self.model.request(
                self.task, {"audio": codes}, self.task.instruction, seed, self.sampling
            )
            for seed, codes in enumerate(self.model.encode(waves))
        ]
        outputs = self.model.generate(requests, self.sampling, SLOTS)
        return [self.model.text_of(output.text_ids) for output in outputs]


def main(manifest: str, output: str, workers: int) -> None:
    """Read lines of JSON, transcribe, write Parquet."""
    transcriber = daft.cls(Transcriber, use_process=True, max_concurrency=workers)()
    rows = daft.read_json(manifest)
    made = rows.select("id", transcriber.transcribe(rows["audio"]).alias("text"))
    made.write_parquet(output)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
