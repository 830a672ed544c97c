"""Golden vectors on disk: ``golden-FAMILY.json`` beside ``golden-FAMILY.safetensors``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

DEFAULT_DIR = Path(__file__).parents[1] / "golden"
ABS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class GoldenPair:
    """One description and its tensors. `family` is the part after the set's letter ("encode"),
    or "llm" for the language model."""

    path: Path

    @cached_property
    def info(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.path.with_suffix(".safetensors"))

    @property
    def family(self) -> str:
        words = self.path.stem.split("-")
        return words[1] if words[1] == "llm" else "-".join(words[3:])

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The published state dict, without the ``weights.`` prefix."""
        return {
            name.removeprefix("weights."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith("weights.")
        }

    def sibling(self, family: str) -> GoldenPair:
        """The pair of the same set that holds another family."""
        stem = self.path.stem.removesuffix(self.family) + family
        return GoldenPair(self.path.with_name(stem + ".json"))


def golden_dir() -> Path:
    """The folder of vectors: ``GOLDEN_DIR``, or the one beside the tests."""
    return Path(os.environ.get("GOLDEN_DIR", DEFAULT_DIR))


def discover() -> list[GoldenPair]:
    """Every pair in the folder, whatever letter its set has."""
    return [GoldenPair(path) for path in sorted(golden_dir().glob("golden-*.json"))]


def assert_close(got: Tensor, want: Tensor, what: str, tolerance: float = ABS_TOLERANCE) -> None:
    """Compare floats, naming the tensor and the largest difference."""
    assert got.shape == want.shape, f"{what}: shape {tuple(got.shape)} != {tuple(want.shape)}"
    difference = float((got.double() - want.double()).abs().max()) if want.numel() else 0.0
    assert difference <= tolerance, f"{what}: largest difference {difference:.2e} > {tolerance}"


def assert_same(got: Tensor, want: Tensor, what: str) -> None:
    """Compare integers exactly."""
    assert got.shape == want.shape, f"{what}: shape {tuple(got.shape)} != {tuple(want.shape)}"
    wrong = int((got.long() != want.long()).sum())
    assert torch.equal(got.long(), want.long()), f"{what}: {wrong} of {want.numel()} differ"
