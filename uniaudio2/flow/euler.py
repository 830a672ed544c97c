"""From noise to latents: Euler steps along the velocity field (published ``solve_euler``)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from uniaudio2.flow.transformer import FlowTimes, FlowTransformer
from uniaudio2.runtime.transfers import to_device

SIGMA_MIN = 1e-4


def prefix_mask(frames: int | Tensor, length: int, device: torch.device) -> Tensor:
    """Mask the first frames of every item.

    Args:
        frames: how many, for all items or ``[B]`` int64 for each.
        length: T.
        device: where the mask is made.

    Returns:
        ``[B or 1, T, 1]`` bool.
    """
    counts = frames if isinstance(frames, int) else to_device(frames, device)[:, None, None]
    return torch.arange(length, device=device)[None, :, None] < counts


@lru_cache(maxsize=8)
def step_times(steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute start and length of every Euler step, in the published float32 arithmetic.

    The time is accumulated, not read from the grid, so that the lengths absorb its rounding.

    Raises:
        ValueError: `steps` is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1; the published model uses 10")
    grid = torch.linspace(0, 1, steps + 1)
    time, starts, lengths = grid[0], [], []
    for following in grid[1:]:
        length = following - time
        starts.append(time.item())
        lengths.append(length.item())
        time = time + length
    return tuple(starts), tuple(lengths)


def _velocity(
    transformer: FlowTransformer,
    state: Tensor,
    incontext: Tensor,
    mu: Tensor,
    times: FlowTimes,
    guidance: float,
) -> Tensor:
    """The guided velocity; its unconditional half keeps the in-context frames."""
    if guidance == 1:
        velocity: Tensor = transformer(state, incontext, mu, times)
        return velocity
    both: Tensor = transformer(
        torch.cat([state, state]),
        torch.cat([incontext, incontext]),
        torch.cat([torch.zeros_like(mu), mu]),
        times,
    )  # [2 B, T, C]
    unconditional, conditional = both.chunk(2)
    return unconditional + guidance * (conditional - unconditional)


def integrate(
    transformer: FlowTransformer,
    noise: Tensor,
    incontext: Tensor,
    incontext_frames: int | Tensor,
    mu: Tensor,
    steps: int,
    guidance: float,
) -> Tensor:
    """Integrate from noise at time 0 to latents at time 1.

    Args:
        transformer: the velocity field.
        noise: ``[B, T, C]`` float32, standard normal.
        incontext: ``[B, T, C]`` float32; frames beyond `incontext_frames` do not matter.
        incontext_frames: how many frames at the start are known, for all items or ``[B]`` int64.
        mu: ``[B, T, dim]`` float32, the conditioning.
        steps: Euler steps.
        guidance: 1 for none; above, conditional and unconditional halves run in one batch.

    Returns:
        ``[B, T, C]`` float32. The known frames are what the last step made of them: blended at
        the time its step started, hence near `incontext` and not equal to it.

    Raises:
        ValueError: `steps` or `guidance` is below 1.
    """
    if guidance < 1:
        raise ValueError(f"guidance {guidance} must be at least 1; 1 means none")
    starts, lengths = step_times(steps)
    times = transformer.times(to_device(torch.tensor(starts), noise.device))
    known = prefix_mask(incontext_frames, noise.shape[1], noise.device)
    incontext = incontext.where(known, 0)
    state = noise
    for step, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        blend = (1 - (1 - SIGMA_MIN) * start) * noise + start * incontext
        state = blend.where(known, state)
        velocity = _velocity(transformer, state, incontext, mu, times.at(step), guidance)
        state = state + length * velocity
    return state
