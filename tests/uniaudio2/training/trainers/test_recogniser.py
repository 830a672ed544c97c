from __future__ import annotations

import torch

from uniaudio2.training.data.domain import SYMBOLS
from uniaudio2.training.trainers.recogniser import Recogniser, padded_batch


class Scripted(Recogniser):
    """Says given classes, one a frame."""

    def __init__(self, classes: list[int]) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([self.classes]), len(SYMBOLS) + 1).float()


def test_repeats_merge_and_blanks_part_them() -> None:
    dog, cat = SYMBOLS.index("dog") + 1, SYMBOLS.index("cat") + 1
    said = Scripted([0, dog, dog, 0, dog, cat, cat, 0]).transcribe(torch.zeros(100))
    assert said == "dog dog cat"
    assert Scripted([0, 0]).transcribe(torch.zeros(100)) == ""


def test_it_names_a_class_every_40_ms_and_learns() -> None:
    torch.manual_seed(0)
    recogniser = Recogniser()
    wave = padded_batch([0.1 * torch.randn(24_000), 0.1 * torch.randn(12_000)])
    assert wave.shape == (2, 24_000)
    assert bool((wave[1, 12_000:] == 0).all())
    assert recogniser(wave).shape == (2, 25, len(SYMBOLS) + 1)
    optimizer = torch.optim.AdamW(recogniser.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        loss = -recogniser(wave)[:, :, 5].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
