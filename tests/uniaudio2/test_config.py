"""Numbers that cannot go together are refused where they are written down."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from uniaudio2.config import (
    CodecConfig,
    FlowConfig,
    LmConfig,
    ModelConfig,
    ScalarConfig,
    SpecialIds,
    StackConfig,
)


def test_the_defaults_are_the_published_sizes() -> None:
    model = ModelConfig(name="full")
    assert model.codec.segment_samples == 720_240
    assert (model.codec.recon_samples, model.codec.reason_samples) == (1920, 4800)
    assert model.scalar.stride == 960
    assert model.flow.dim == 1536
    assert model.lm.backbone.head_dim == 128
    assert model.lm.audio_vocab == 12_300


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: StackConfig(layers=1, dim=10, heads=3, kv_groups=1, mlp_dim=4), "multiple"),
        (lambda: LmConfig(ids=SpecialIds(reason_bos=9999)), "below its card 4100"),
        (lambda: LmConfig(ids=SpecialIds(text_pad=128_256)), "below its card 128256"),
        (
            lambda: LmConfig(
                generation_expert=StackConfig(layers=1, dim=8, heads=2, kv_groups=1, mlp_dim=4)
            ),
            "share one width",
        ),
        (lambda: CodecConfig(segment_frames=75), "multiple of 10"),
        (lambda: FlowConfig(window_codes=2000), "max_frames is 3000"),
        (lambda: ModelConfig(name="x", scalar=ScalarConfig(num_samples=2)), "stride 1920"),
        (lambda: ModelConfig(name="x", trianed=True), "did you mean 'trained'"),
    ],
)
def test_contradictions(build: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        build()  # type: ignore[operator]


def test_a_configuration_cannot_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ModelConfig(name="x").name = "y"  # type: ignore[misc]


def test_a_configuration_survives_its_file() -> None:
    model = ModelConfig(name="x")
    assert ModelConfig.model_validate_json(model.model_dump_json()) == model
