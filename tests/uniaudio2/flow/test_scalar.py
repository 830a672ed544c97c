from __future__ import annotations

import pytest
import torch

from tests.uniaudio2.flow.small import ODD_SCALAR, SCALAR, randomised
from uniaudio2.config import ScalarConfig
from uniaudio2.flow.scalar import ScalarCodec

CONFIGS = {
    "causal": SCALAR,
    "causal, merged samples": SCALAR.model_copy(update={"num_samples": 2}),
    "both sides": SCALAR.model_copy(update={"causal": False}),
    "both sides, odd stride": ODD_SCALAR,
    "both sides, merged samples": ODD_SCALAR.model_copy(update={"num_samples": 3}),
}


def codec_of(config: ScalarConfig) -> ScalarCodec:
    codec = ScalarCodec(config)
    randomised(codec)
    return codec


def latents_of(frames: int, config: ScalarConfig = SCALAR) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.rand(1, config.latent_hidden_dim, frames, generator=generator) * 2 - 1


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_wave_of_whole_frames_comes_back_whole(config: ScalarConfig) -> None:
    codec = codec_of(config)
    wave = torch.randn(2, 1, 7 * config.stride, generator=torch.Generator().manual_seed(1))
    latents = codec.encode(wave)
    assert latents.shape == (2, config.latent_hidden_dim, 7)
    assert latents.abs().max() <= 1
    surplus = codec.decode(latents).shape[-1] - wave.shape[-1]
    assert surplus == 0 if config.causal else 0 <= surplus < config.stride


def test_an_odd_stride_gives_a_few_samples_more() -> None:
    codec = codec_of(ODD_SCALAR)
    assert codec.decode(codec.encode(torch.zeros(1, 1, 500))).shape[-1] == 504


def test_ties_are_rounded_to_the_even_ninth() -> None:
    ninths = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 8.6]) / 9
    want = torch.tensor([0.0, 2.0, 2.0, 0.0, -2.0, 9.0]) / 9
    torch.testing.assert_close(ScalarCodec.quantize(ninths), want, atol=1e-7, rtol=0)


def test_decode_rounds_and_clamps_only_when_asked() -> None:
    codec = codec_of(SCALAR)
    latents = 1.5 * latents_of(6)
    wave = codec.decode(latents)
    assert torch.equal(wave, codec.decode(codec.quantize(latents)))
    clamped = codec.decode(latents, clamp=True)
    assert torch.equal(clamped, codec.decode(latents.clamp(-1, 1)))
    assert not torch.equal(clamped, wave)


def test_a_causal_codec_looks_ahead_in_its_first_layer_only() -> None:
    codec = codec_of(SCALAR)
    assert codec.lookahead == SCALAR.delay_kernel_size // 2
    latents = latents_of(10)
    changed = latents.clone()
    changed[..., 6] *= -1
    same = (codec.decode(latents) == codec.decode(changed))[0, 0]
    first_changed = (6 - codec.lookahead) * SCALAR.stride
    assert same[:first_changed].all()
    assert not same[first_changed : first_changed + SCALAR.stride].all()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_lookahead_is_exactly_what_samples_depend_on(config: ScalarConfig) -> None:
    codec = codec_of(config).double()
    for parameter in codec.parameters():
        parameter.abs_()  # so that no two paths cancel
    start = 3
    latents = latents_of(start + codec.lookahead + 5, config).double().requires_grad_()
    codec.decoder(latents)[..., : start * config.stride].sum().backward()
    assert latents.grad is not None
    matters = latents.grad.abs().sum(dim=(0, 1)) > 0
    assert matters.tolist() == [True] * (start + codec.lookahead) + [False] * 5


def test_without_its_encoder_it_only_decodes() -> None:
    codec = ScalarCodec(SCALAR, with_encoder=False)
    assert {name.split(".")[0] for name in codec.state_dict()} == {"decoder"}
    with pytest.raises(RuntimeError, match="with_encoder=True"):
        codec.encode(torch.zeros(1, 1, 12))


def test_a_causal_codec_refuses_other_kernels() -> None:
    config = SCALAR.model_copy(update={"upsample_kernel_sizes": (6, 5)})
    with pytest.raises(ValueError, match="kernel 5 must be twice its factor 2"):
        ScalarCodec(config)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_every_factor_needs_its_kernel(direction: str) -> None:
    config = SCALAR.model_copy(update={f"{direction}sample_kernel_sizes": (6,)})
    with pytest.raises(ValueError, match="zip"):
        ScalarCodec(config)
