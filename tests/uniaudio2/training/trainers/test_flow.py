from __future__ import annotations

from dataclasses import replace

import torch

from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.training.trainers.flow import Window, flow_losses, new_decoder

MODEL = load_config(model_folder("tiny"))


def decoder() -> FlowDecoder:
    return new_decoder(MODEL.flow, MODEL.codec, MODEL.scalar, seed=1)


def window(known: int = 0) -> Window:
    generator = torch.Generator().manual_seed(2)
    codes = torch.randint(32, (10, 8), generator=generator)
    latents = 0.3 * torch.randn(20, MODEL.scalar.latent_hidden_dim, generator=generator)
    return Window(codes, latents, known)


def loss_of(one: Window, flow: FlowDecoder) -> float:
    return flow_losses(flow, [one], torch.Generator().manual_seed(3))["loss"].item()


def test_known_frames_do_not_count() -> None:
    flow = decoder()
    # with everything else equal, a wrong target in a known frame changes the loss of the others
    # through what the transformer is shown, but adds no error of its own
    far = window(known=4)
    far.latents[:4] += 100.0
    assert loss_of(far, flow) < 100.0
    assert loss_of(replace(far, known=0), flow) > 1000.0


def test_it_learns_one_window() -> None:
    flow = decoder()
    optimizer = torch.optim.AdamW(flow.transformer.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(60):
        loss = flow_losses(flow, [window()] * 8, generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
