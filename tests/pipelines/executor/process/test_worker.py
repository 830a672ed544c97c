"""What the worker of a small run has imported when it is ready, and what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

UNUSED = (
    "ray", "transformers", "torch._dynamo", "torch.distributed.tensor", "torch._inductor", "sympy",
    "pandas", "PIL", "s3fs", "aiohttp", "jinja2", "jiwer", "typer", "rich",
)  # fmt: skip
_ASK = """
import json, sys
from multiprocessing import Pipe
from pipelines.config.job import JobConfig
from pipelines.executor.process.worker import Worker
ours, theirs = Pipe()
worker = Worker(theirs)
worker._prepare(JobConfig(task=sys.argv[1], input="i", output="o", executor="process"))
unused = [name for name in sys.argv[2].split(",") if name in sys.modules]
print(json.dumps([sorted(worker._built), unused]))
"""


@pytest.mark.parametrize(
    ("task", "stages"), [("asr", ["encode", "generate"]), ("tts", ["decode", "generate"])]
)
def test_it_has_built_its_stages_and_imported_what_they_use(task: str, stages: list[str]) -> None:
    words = [sys.executable, "-c", _ASK, task, ",".join(UNUSED)]
    root = Path(__file__).parents[4]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=True, cwd=root)
    assert json.loads(done.stdout.splitlines()[-1]) == [stages, []]
