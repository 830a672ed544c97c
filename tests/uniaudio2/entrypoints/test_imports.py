"""What loading a part of the model imports: nothing that inference does not use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

UNUSED = (
    "transformers", "torch._dynamo", "torch.distributed.tensor", "torch._inductor", "sympy", "ray",
    "PIL", "pyarrow",
)  # fmt: skip
_ASK = """
import json, sys
import torch
from uniaudio2.entrypoints.model import UniAudio2
model = UniAudio2.load("nano", parts=(sys.argv[1],), device="cpu")
if sys.argv[1] == "encoder":
    model.encode([torch.zeros(2400)])
print(json.dumps([name for name in sys.argv[2].split(",") if name in sys.modules]))
"""


@pytest.mark.parametrize("part", ["encoder", "lm", "decoder"])
def test_a_part_imports_what_it_uses(part: str) -> None:
    words = [sys.executable, "-c", _ASK, part, ",".join(UNUSED)]
    root = Path(__file__).parents[3]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True, cwd=root)
    assert json.loads(done.stdout.splitlines()[-1]) == []
