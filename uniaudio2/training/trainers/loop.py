"""The training loop of every stage: schedule, average of weights, log, checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uniaudio2.frozen import Frozen

Losses = dict[str, Tensor]
"""Scalars by name; ``loss`` is what is minimised, the others are logged."""


class Schedule(Frozen):
    """How a stage is optimised.

    Attributes:
        steps: batches in all.
        lr: peak learning rate, reached after `warmup` steps, then a cosine down to a fiftieth.
        average: decay of the weights' moving average, which is what is kept in the end.
        clip: largest norm of a gradient.
        bfloat16: run the forward pass's products in bfloat16; the weights stay float32.
        save_every_s: seconds between two checkpoints.
    """

    steps: int
    lr: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    average: float = 0.998
    clip: float = 1.0
    bfloat16: bool = False
    save_every_s: float = 120.0

    def lr_at(self, step: int) -> float:
        """Learning rate of a step."""
        position = min(step / self.steps, 1.0)
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * position))
        return self.lr * min((step + 1) / self.warmup, 1.0) * cosine


class Loop:
    """Trains one module; interrupted, it goes on from its last checkpoint.

    Args:
        folder: of the checkpoint, the log and the result.
        stage: names them.
        module: its parameters that require a gradient are trained, its whole state is kept.
        schedule: how.
    """

    def __init__(self, folder: Path, stage: str, module: nn.Module, schedule: Schedule) -> None:
        self.folder, self.stage, self.module, self.schedule = folder, stage, module, schedule
        trained = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=schedule.lr, betas=(0.9, 0.98), weight_decay=schedule.weight_decay
        )
        self.average = {name: t.detach().clone() for name, t in module.state_dict().items()}
        self.step, self.spent_s = 0, 0.0
        self._resume()

    @property
    def result(self) -> Path:
        """Where the averaged weights are once the stage is done."""
        return self.folder / f"{self.stage}.safetensors"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / f"{self.stage}.checkpoint"

    def _resume(self) -> None:
        if not self._checkpoint.is_file():
            return
        state = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = {
            name: tensor.to(self.average[name].device) for name, tensor in state["average"].items()
        }
        self.step, self.spent_s = int(state["step"]), float(state["spent_s"])

    def _save(self) -> None:
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "spent_s": self.spent_s,
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self._checkpoint)

    def run(self, losses_of: Callable[[int], Losses]) -> None:
        """Train to the end, or do nothing if the result is there.

        Args:
            losses_of: step number to losses.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        if self.result.is_file():
            return
        saved = time.monotonic()
        with (self.folder / f"{self.stage}.log.jsonl").open("a") as log:
            while self.step < self.schedule.steps:
                begun = time.monotonic()
                figures = self._one_step(losses_of)
                self.step += 1
                self.spent_s += time.monotonic() - begun
                if self.step % 50 == 0:
                    line = {"step": self.step, "spent_s": round(self.spent_s, 1)} | figures
                    print(json.dumps(line), file=log, flush=True)
                if time.monotonic() - saved > self.schedule.save_every_s:
                    self._save()
                    saved = time.monotonic()
        self._save()
        save_file({k: v.cpu().contiguous() for k, v in self.average.items()}, self.result)

    def _one_step(self, losses_of: Callable[[int], Losses]) -> dict[str, float]:
        lr = self.schedule.lr_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        device = next(self.module.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.schedule.bfloat16):
            losses = losses_of(self.step)
        if not bool(torch.isfinite(losses["loss"])):
            raise FloatingPointError(
                f"{self.stage}: the loss of step {self.step} is {float(losses['loss'])}; "
                "lower the learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.schedule.clip)
        self.optimizer.step()
        self._update_average()
        figures = {name: round(float(value.detach()), 4) for name, value in losses.items()}
        return figures | {"norm": round(float(norm), 2), "lr": round(lr, 6)}

    @torch.no_grad()
    def _update_average(self) -> None:
        # a young average follows fast, so that its start is forgotten
        keep = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        for name, tensor in self.module.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - keep)
            else:
                self.average[name].copy_(tensor)

    def load_result(self) -> nn.Module:
        """The module with its averaged weights, ready for inference."""
        self.module.load_state_dict(load_file(self.result))
        return self.module.eval().requires_grad_(False)
