from __future__ import annotations

import torch

from uniaudio2.codec.quantizers import ResidualVQ
from uniaudio2.config import VqConfig
from uniaudio2.training.trainers.learning_vq import LearningVQ


def learning(levels: int = 2) -> LearningVQ:
    torch.manual_seed(0)
    return LearningVQ(ResidualVQ(VqConfig(levels=levels, size=8, dim=4), 6))


def test_codebooks_find_the_clusters() -> None:
    vq = learning()
    centres = torch.randn(8, 6) * 3
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(80):
        frames = centres[torch.randint(8, (4, 32), generator=generator)]
        losses.append(vq(frames, 2, generator)[1].item())
    assert losses[-1] < 0.3 * losses[0]


def test_it_rounds_as_the_quantizer_does_and_lets_the_gradient_pass() -> None:
    vq = learning().eval()
    frames = torch.randn(2, 5, 6, requires_grad=True)
    quantized, _ = vq(frames, 2, torch.Generator())
    assert torch.allclose(quantized, vq.vq.encode(frames)[1], atol=1e-5)
    quantized.sum().backward()
    assert float(frames.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_evaluation_moves_nothing_and_fewer_levels_are_coarser() -> None:
    vq = learning()
    frames, generator = torch.randn(2, 50, 6), torch.Generator().manual_seed(0)
    for _ in range(100):
        vq(frames, 2, generator)
    vq.eval()
    before = [codebook.clone() for codebook in vq.vq.codebooks]
    coarse, fine = (vq(frames, levels, generator)[1].item() for levels in (1, 2))
    assert fine < coarse
    assert all(torch.equal(a, b) for a, b in zip(before, vq.vq.codebooks, strict=True))


def test_codes_that_nothing_chooses_get_a_new_place() -> None:
    vq = learning(levels=1)
    with torch.no_grad():
        vq.vq.codebooks[0].fill_(1e6)
    frames, generator = torch.randn(2, 50, 6), torch.Generator().manual_seed(0)
    vq(frames, 1, generator)
    assert float(vq.vq.codebooks[0].abs().max()) < 100
