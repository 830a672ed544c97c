"""Encoding and decoding at the published sizes on another device: no waiting within, no mixing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.uniaudio2.elsewhere import ELSEWHERE, moved_elsewhere
from uniaudio2.codec import features, mel
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.config import CodecConfig, FlowConfig, Padding, ScalarConfig, Windows
from uniaudio2.flow import transformer
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.flow.euler import step_times
from uniaudio2.flow.window_batches import ClipState, draw_noise
from uniaudio2.tokens.codes import Codes


def filters(bins: int, *rest: object) -> Tensor:
    """In the place of tables that are made once, by looking at numbers, and sent."""
    return torch.empty(bins, 1025 if len(rest) == 2 else 201, device=ELSEWHERE)


@pytest.fixture(autouse=True)
def _nothing_fake_stays() -> Iterator[None]:
    yield
    for kept in (features._resampler, mel._window, transformer.position_table):
        kept.cache_clear()


@pytest.mark.parametrize("padding", ["periodic", "tight"])
def test_encoding(padding: Padding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mel, "_music_filters", filters)
    monkeypatch.setattr(mel, "_whisper_filters", filters)
    with FakeTensorMode(), torch.no_grad():
        encoder = moved_elsewhere(CodecEncoder(CodecConfig()))
        short, long = encoder.encode([torch.zeros(72_000), torch.zeros(800_000)], 4, padding)
    assert (short.reason.shape, short.recon.shape) == ((16, 8), (38, 8))
    assert (long.reason.shape, long.recon.shape) == ((167, 8), (417, 8))
    assert short.recon.device == torch.device("cpu")


@pytest.mark.parametrize("use_reason", [False, True])
@pytest.mark.parametrize("windows", ["whole", "fitted"])
def test_decoding(windows: Windows, use_reason: bool) -> None:
    step_times(3)  # made once, by looking at numbers of the host
    with FakeTensorMode(), torch.no_grad():
        decoder = moved_elsewhere(FlowDecoder(FlowConfig(), CodecConfig(), ScalarConfig()))
        plan = decoder._plan(compat=False, windows=windows)
        codes = [torch.zeros(frames, 8, dtype=torch.int64) for frames in (12, 400)]
        clips = [ClipState(clip, Codes(codes[0], codes[1]), plan) for clip in range(2)]
        for _ in range(2):  # the second window goes on from the end of the first
            starts = draw_noise(
                clips, lambda _, *shape: torch.zeros(shape), decoder.latent_channels
            )
            made = decoder._decode_windows(
                list(zip(clips, starts, strict=True)), (3, 1.5), use_reason
            )
            for one, (latents, wave) in zip(clips, made, strict=True):
                assert latents.device == wave.device == ELSEWHERE
                assert latents.shape == (one.frames, decoder.latent_channels)
                one.fade.add(wave)
                one.tail = latents[len(latents) - plan.incontext_frames :]
                one.done += 1
    assert all(len(one.fade.wave) > 20 * 24_000 for one in clips)
