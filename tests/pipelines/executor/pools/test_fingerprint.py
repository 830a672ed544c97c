from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from actors.stages.pools import DECODER, ENCODER
from pipelines.executor.pools.fingerprint import fingerprint
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import get_task
from uniaudio2.tokens.codes import Codes

_ASK = """
from pipelines.config.make_job import make_job
from pipelines.executor.pools.fingerprint import fingerprint
from pipelines.executor.stages import _pools
from uniaudio2.checkpoint.folders import load_config, model_folder
model = load_config(model_folder("tiny"))
for task in ("asr", "tts", "reconstruct"):
    job = make_job({"task": task, "input": "i", "output": "o", "model": "tiny"})
    print(fingerprint(sorted(_pools(job, model).items())))
"""


def test_it_is_the_same_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", _ASK], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True, text=True, cwd=Path(__file__).parents[4], timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(told) == 1
    assert len(set(told.pop().split())) == 3


def codes(value: int) -> Codes:
    return Codes(torch.full((1, 8), value), torch.zeros(2, 8, dtype=torch.int64))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ENCODER, DECODER), (1, 1.0), (1, "1"), ((1, 2), (2, 1)), ({"a": 1}, {"a": 2}), (None, ""),
        (Sampling(), Sampling(top_k=3)), (get_task("asr"), get_task("tts")), (int, str),
        (codes(1), codes(2)), (frozenset({1}), frozenset({2})), ([1], (1,)),
    ],
)  # fmt: skip
def test_what_differs_is_told_apart(one: object, other: object) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_what_is_equal_is_the_same() -> None:
    assert fingerprint(codes(1)) == fingerprint(codes(1))
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(Sampling()) == fingerprint(Sampling(greedy=False))  # as it is by default
