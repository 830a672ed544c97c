from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.uniaudio2.codec.small import CONFIG, noise, small_encoder
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.runtime.packed_linear import PackedLinear
from uniaudio2.runtime.precision import Precision, check_precision, products_in

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_tf32_is_refused_on_a_cpu() -> None:
    with pytest.raises(ValueError, match=r"tf32 is of CUDA devices .* on cpu; choose float32"):
        UniAudio2.load("tiny", parts=("encoder",), device="cpu", precision="tf32")
    check_precision("tf32", CUDA)


@pytest.mark.parametrize(("precision", "said"), [("float32", "ieee"), ("tf32", "tf32")])
def test_a_gpu_is_told_how_to_multiply_float32(precision: Precision, said: str) -> None:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = matmul.fp32_precision, conv.fp32_precision
    with products_in(precision, CUDA):
        assert (matmul.fp32_precision, conv.fp32_precision) == (said, said)
    assert (matmul.fp32_precision, conv.fp32_precision) == before


@torch.no_grad()
def test_bfloat16_layers_take_and_give_float32() -> None:
    plain, x = nn.Linear(64, 48), torch.randn(5, 64)
    made = PackedLinear(plain, small_batches=False, dtype=torch.bfloat16)(x)
    assert made.dtype == torch.float32
    assert not torch.equal(made, plain(x))
    torch.testing.assert_close(made, plain(x), atol=0.03, rtol=0.02)


@torch.no_grad()
def test_an_encoder_in_bfloat16_hears_nearly_the_same() -> None:
    encoder = small_encoder()
    wave = noise(CONFIG.segment_samples)[None]
    exact = encoder.features(wave)
    encoder.set_precision("bfloat16")
    encoder.pack()
    for name, rounded in vars(encoder.features(wave)).items():
        want = getattr(exact, name)
        assert rounded.dtype == torch.float32
        assert not torch.equal(rounded, want)
        assert (rounded - want).norm() < 0.05 * want.norm()
    (codes,) = encoder.encode([noise(30_000)])
    assert codes.recon.shape == (30_000 // CONFIG.recon_samples + 1, 8)
