"""Settings of the frozen encoders, by the names and with the defaults of their published files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from uniaudio2.frozen import Frozen

GELU = Literal["gelu"]


class WhisperSettings(Frozen):
    """Whisper's encoder: widths, depth and dropout."""

    d_model: int = Field(384, ge=1)
    encoder_layers: int = Field(4, ge=1)
    encoder_attention_heads: int = Field(6, ge=1)
    encoder_ffn_dim: int = Field(1536, ge=1)
    num_mel_bins: int = Field(80, ge=1)
    activation_function: GELU = "gelu"
    dropout: float = Field(0.0, ge=0, lt=1)
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    activation_dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _even_heads(self) -> WhisperSettings:
        check_heads("d_model", self.d_model, self.encoder_attention_heads)
        return self


class WavLMSettings(Frozen):
    """WavLM of the base family: a norm of each channel in its first convolution, layers that
    normalise behind their halves."""

    hidden_size: int = Field(768, ge=1)
    num_hidden_layers: int = Field(12, ge=1)
    num_attention_heads: int = Field(12, ge=1)
    intermediate_size: int = Field(3072, ge=1)
    hidden_act: GELU = "gelu"
    hidden_dropout: float = Field(0.1, ge=0, lt=1)
    activation_dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.1, ge=0, lt=1)
    feat_proj_dropout: float = Field(0.0, ge=0, lt=1)
    layerdrop: float = Field(0.0, ge=0, lt=1)  # not used: every hidden state in use must exist
    layer_norm_eps: float = Field(1e-5, gt=0)
    feat_extract_norm: Literal["group"] = "group"
    feat_extract_activation: GELU = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = Field(128, ge=1)
    num_conv_pos_embedding_groups: int = Field(16, ge=1)
    num_buckets: int = Field(320, ge=4)
    max_bucket_distance: int = Field(800, ge=1)
    do_stable_layer_norm: Literal[False] = False

    @model_validator(mode="after")
    def _one_convolution_each(self) -> WavLMSettings:
        counts = {len(self.conv_dim), len(self.conv_stride), len(self.conv_kernel)}
        if len(counts) > 1:
            raise ValueError(
                f"conv_dim has {len(self.conv_dim)} layers, conv_stride {len(self.conv_stride)} "
                f"and conv_kernel {len(self.conv_kernel)}; give each as many"
            )
        check_heads("hidden_size", self.hidden_size, self.num_attention_heads)
        return self


def check_heads(name: str, width: int, heads: int) -> None:
    """Refuse heads of unequal width.

    Raises:
        ValueError: `heads` does not divide `width`.
    """
    if width % heads:
        raise ValueError(f"{name} {width} must be a multiple of its {heads} heads")
