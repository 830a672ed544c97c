from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from uniaudio2.training.data.rng import step_rng
from uniaudio2.training.trainers.loop import Loop, Losses, Schedule

SCHEDULE = Schedule(steps=60, lr=0.3, warmup=5, save_every_s=0.0)


class Fit:
    """Learns the mean of what it is given."""

    def __init__(self, folder: Path, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1)
        self.stop_at = stop_at
        self.loop = Loop(folder, "fit", self.module, SCHEDULE)

    def __call__(self, step: int) -> Losses:
        if step == self.stop_at:
            raise KeyboardInterrupt
        x = torch.tensor([[step_rng(1, "fit", step).uniform(-1, 1)]])
        return {"loss": (self.module(x) - 3 * x - 1).square().mean()}


def test_it_learns_and_keeps_the_average(tmp_path: Path) -> None:
    fit = Fit(tmp_path)
    fit.loop.run(fit)
    module = fit.loop.load_result()
    assert float(module(torch.tensor([[0.5]]))) == pytest.approx(2.5, abs=0.5)
    assert not any(p.requires_grad for p in module.parameters())
    assert (tmp_path / "fit.log.jsonl").read_text().count("\n") == 1


def test_interrupted_it_ends_where_it_would_have(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = Fit(tmp_path / "whole")
    whole.loop.run(whole)
    stopped = Fit(tmp_path / "parts", stop_at=30)
    with pytest.raises(KeyboardInterrupt):
        stopped.loop.run(stopped)
    again = Fit(tmp_path / "parts")
    assert again.loop.step == 30
    again.loop.run(again)
    assert torch.equal(whole.loop.average["weight"], again.loop.average["weight"])


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    fit = Fit(tmp_path)
    fit.loop.run(fit)
    again = Fit(tmp_path, stop_at=0)
    again.loop.run(again)


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    fit = Fit(tmp_path)
    with pytest.raises(FloatingPointError, match="step 0"):
        fit.loop.run(lambda step: {"loss": torch.tensor(float("nan"))})


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [SCHEDULE.lr_at(step) for step in range(60)]
    assert rates.index(max(rates)) in (4, 5)
    assert rates[-1] < 0.05 * max(rates)
