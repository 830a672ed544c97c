from __future__ import annotations

import pytest

from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.codec.encoders.settings import WavLMSettings, WhisperSettings, check_heads
from uniaudio2.config import ModelConfig


@pytest.mark.parametrize("model", ["nano", "tiny", "published"])
def test_what_models_hold_is_taken(model: str) -> None:
    config = ModelConfig(name="x") if model == "published" else load_config(model_folder(model))
    assert WhisperSettings(**config.codec.whisper).num_mel_bins == 80
    assert WavLMSettings(**config.codec.wavlm).feat_extract_norm == "group"


def test_heads() -> None:
    check_heads("width", 6, 3)
    with pytest.raises(ValueError, match="width 7 must be a multiple of its 3 heads"):
        check_heads("width", 7, 3)
