from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.uniaudio2.codec.small import CONFIG, random_features, small_encoder
from uniaudio2.codec.branches import Branch, Branches

NAMES = ("pronunciation", "structure", "acoustic")


@pytest.fixture
def branches() -> Branches:
    return small_encoder().branches


@torch.no_grad()
def test_every_branch_runs_at_half_the_frame_rate(branches: Branches) -> None:
    fused = branches.fuse(random_features(20))
    assert [tuple(frames.shape) for frames in fused] == [(2, 10, CONFIG.dim)] * 3


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("wavlm", {"pronunciation"}),
        ("semantic", {"structure"}),
        ("acoustic", {"acoustic"}),
        ("whisper", {"acoustic"}),
    ],
)
@torch.no_grad()
def test_every_branch_reads_its_own_features(
    branches: Branches, field: str, changed: set[str]
) -> None:
    features = random_features(20)
    other = replace(features, **{field: getattr(features, field) + 1.0})
    pairs = zip(NAMES, branches.fuse(features), branches.fuse(other), strict=True)
    assert {name for name, before, after in pairs if not torch.equal(before, after)} == changed


@torch.no_grad()
def test_modulation_scales_and_shifts() -> None:
    branch = Branch([(3, 2)], dim=1, strength=0.1)
    branch.film.weight.copy_(torch.tensor([[1.0], [2.0]]))
    branch.film.bias.zero_()
    got = branch.modulate(torch.tensor([[[5.0]]]), torch.tensor([[[0.5]]]))
    want = (1 + 0.1 * torch.tanh(torch.tensor(0.5))) * 5.0 + 1.0
    torch.testing.assert_close(got.squeeze(), want)


@torch.no_grad()
def test_modulation_never_rolls_dice(branches: Branches) -> None:
    fused = branches.fuse(random_features(20))
    reasoning = torch.ones_like(fused[0])
    first = branches.modulate(fused, reasoning)
    for _ in range(20):
        again = branches.modulate(fused, reasoning)
        assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
