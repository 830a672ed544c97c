from __future__ import annotations

import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as Library

from uniaudio2.codec.encoders.settings import WhisperSettings
from uniaudio2.codec.encoders.whisper import WhisperEncoder

SIZES = {
    "d_model": 24, "encoder_layers": 3, "encoder_attention_heads": 3, "encoder_ffn_dim": 40,
    "num_mel_bins": 20,
}  # fmt: skip


@torch.no_grad()
def test_every_bit_is_the_library_s() -> None:
    torch.manual_seed(0)
    library = Library(WhisperConfig(**SIZES, max_source_positions=30)).eval()
    ours = WhisperEncoder(WhisperSettings(**SIZES), 30).eval()
    ours.load_state_dict(library.state_dict())
    mel = torch.randn(2, 20, 60)
    assert torch.equal(ours(mel), library(mel).last_hidden_state)
    assert ours(mel[..., :20]).shape == (2, 10, 24)


def test_settings_are_the_library_s() -> None:
    theirs = WhisperConfig()
    assert WhisperSettings().model_dump() == {
        name: getattr(theirs, name) for name in WhisperSettings.model_fields
    }


def test_heads_of_unequal_width_are_refused() -> None:
    with pytest.raises(ValueError, match="d_model 10 must be a multiple of its 3 heads"):
        WhisperSettings(d_model=10, encoder_attention_heads=3)
