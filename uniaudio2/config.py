"""The model's frozen configuration: every number the code needs, and none elsewhere.

The defaults are the published full-size model; `tests` and the bundled models use the same
classes with smaller numbers. Names and values: the published ``llm_config.yaml``,
``model_config.json``, ``sqcodec_config.yaml`` and the code released with them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from uniaudio2.frozen import Frozen

CODEBOOKS = 8
Padding = Literal["periodic", "tight"]
Windows = Literal["whole", "fitted"]
LATENT_RATE_HZ = 25
RECON_RATE_HZ = 12.5
REASON_RATE_HZ = 5


class StackConfig(Frozen):
    """One Llama stack: backbone, expert or local decoder."""

    layers: int = Field(gt=0)
    dim: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_groups: int = Field(gt=0)
    mlp_dim: int = Field(gt=0)

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @model_validator(mode="after")
    def _divisible(self) -> StackConfig:
        if self.dim % self.heads or self.heads % self.kv_groups:
            raise ValueError(
                f"dim {self.dim} must be a multiple of heads {self.heads}, "
                f"and heads a multiple of kv_groups {self.kv_groups}"
            )
        return self


class RopeConfig(Frozen):
    """Rotary embedding with Llama-3 frequency scaling."""

    base: float = 500_000.0
    factor: float = 32.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192


class SpecialIds(Frozen):
    """Marker ids. Reason markers lie inside the reason card; semantic markers inside the
    semantic card, before the offset; audio-prompt markers are joint ids already."""

    reason_bos: int = 4096
    reason_eos: int = 4097
    reason_pad: int = 4099
    semantic_bos: int = 8192
    semantic_eos: int = 8193
    semantic_pad: int = 8194
    audio_prompt_bos: int = 12296
    audio_prompt_eos: int = 12297
    text_bos: int = 128_000
    text_eos: int = 128_001
    text_pad: int = 128_020
    tags: dict[str, tuple[int, int]] = {
        "think": (128_002, 128_003),
        "transcription": (128_011, 128_012),
        "lyric": (128_013, 128_014),
        "caption": (128_015, 128_016),
    }


class LmConfig(Frozen):
    """The language model: two experts, backbone, local decoder, cards and markers."""

    text_vocab: int = 128_256
    reason_card: int = 4100
    semantic_card: int = 8200
    reason_codes: int | None = Field(4096, description="ids that the codec can decode; None = card")
    semantic_codes: int | None = 8192
    context: int = Field(2048, description="positions that a sequence may have in the KV cache")
    norm_eps: float = 1e-5
    rope: RopeConfig = RopeConfig()
    ids: SpecialIds = SpecialIds()
    backbone: StackConfig = StackConfig(layers=28, dim=3072, heads=24, kv_groups=8, mlp_dim=8192)
    understanding_expert: StackConfig = StackConfig(
        layers=3, dim=3072, heads=24, kv_groups=8, mlp_dim=8192
    )
    generation_expert: StackConfig = StackConfig(
        layers=2, dim=3072, heads=24, kv_groups=8, mlp_dim=8192
    )
    local_decoder: StackConfig = StackConfig(
        layers=4, dim=2048, heads=32, kv_groups=8, mlp_dim=8192
    )

    @property
    def audio_vocab(self) -> int:
        """Joint ids of every codebook: reason card, then semantic card."""
        return self.reason_card + self.semantic_card

    @model_validator(mode="after")
    def _markers_fit(self) -> LmConfig:
        widths = {self.backbone.dim, self.understanding_expert.dim, self.generation_expert.dim}
        if len(widths) > 1:
            raise ValueError(f"backbone and experts must share one width, got {sorted(widths)}")
        ids = self.ids
        limits = {
            "reason": (self.reason_card, (ids.reason_bos, ids.reason_eos)),
            "semantic": (self.semantic_card, (ids.semantic_bos, ids.semantic_eos)),
            "text": (self.text_vocab, (ids.text_bos, ids.text_eos, ids.text_pad)),
        }
        for name, (limit, markers) in limits.items():
            for marker in markers:
                if not 0 <= marker < limit:
                    raise ValueError(f"{name} marker {marker} must lie below its card {limit}")
        return self


class VqConfig(Frozen):
    """A residual vector quantizer: `levels` codebooks of `size` vectors of width `dim`."""

    levels: int = Field(gt=0)
    size: int = Field(gt=1, le=65_536, description="codes travel as uint16")
    dim: int = Field(gt=0)


class MusicConfig(Frozen):
    """MusicFM: mel front-end, two residual convolutions, conformer."""

    dim: int = 1024
    conv_dim: int = 512
    layers: int = 12
    heads: int = 16
    mlp_dim: int = 4096
    conv_kernel: int = 31
    mel_bins: int = 128
    acoustic_layer: int = 4
    semantic_layer: int = 11


class CodecConfig(Frozen):
    """ReasoningCodec: segmenting, frozen encoders, query-token transformer, quantizers."""

    sample_rate: int = 24_000
    segment_frames: int = Field(750, description="25 Hz frames that one segment yields")
    segment_extra_samples: int = 240
    dim: int = 768
    query_layers: int = 5
    query_head_dim: int = 128
    query_interval: int = 5
    film_strength: float = 0.1
    whisper: dict[str, Any] = {
        "d_model": 1024,
        "encoder_layers": 24,
        "encoder_attention_heads": 16,
        "encoder_ffn_dim": 4096,
        "num_mel_bins": 80,
    }
    wavlm: dict[str, Any] = {"num_hidden_layers": 12}
    wavlm_layers: tuple[int, ...] = (6, 7, 8, 9)
    music: MusicConfig = MusicConfig()
    reasoning: VqConfig = VqConfig(levels=8, size=4096, dim=64)
    pronunciation: VqConfig = VqConfig(levels=1, size=8192, dim=32)
    structure: VqConfig = VqConfig(levels=1, size=8192, dim=32)
    acoustic: VqConfig = VqConfig(levels=6, size=8192, dim=32)

    @property
    def frame_samples(self) -> int:
        """Samples of one 25 Hz frame."""
        return self.sample_rate // LATENT_RATE_HZ

    @property
    def recon_samples(self) -> int:
        """Samples of one reconstruction code (12.5 Hz)."""
        return 2 * self.frame_samples

    @property
    def reason_samples(self) -> int:
        """Samples of one reasoning code (5 Hz)."""
        return 5 * self.frame_samples

    @property
    def segment_samples(self) -> int:
        """Samples that the encoders see for one segment."""
        return self.segment_frames * self.frame_samples + self.segment_extra_samples

    @model_validator(mode="after")
    def _whole_segments(self) -> CodecConfig:
        if self.segment_frames % 10:
            raise ValueError(
                f"segment_frames {self.segment_frames} must be a multiple of 10 "
                "(5 frames a reasoning code, 2 a reconstruction code)"
            )
        if 1 + 1 + self.acoustic.levels != CODEBOOKS or self.reasoning.levels != CODEBOOKS:
            raise ValueError(f"both token streams have {CODEBOOKS} codebooks")
        return self


class FlowConfig(Frozen):
    """Flow-matching transformer and its windows (published ``model_config.json``)."""

    layers: int = 32
    heads: int = 24
    head_dim: int = 64
    max_frames: int = 3000
    window_codes: int = Field(250, ge=4, description="reconstruction codes of one window, 20 s")
    steps: int = Field(10, gt=0)
    guidance: float = Field(1.5, ge=1.0)
    windows: Windows = Field(
        "whole", description="repeat a clip to whole windows, or cut the last one"
    )

    @property
    def dim(self) -> int:
        return self.heads * self.head_dim

    @model_validator(mode="after")
    def _window_fits(self) -> FlowConfig:
        if 2 * self.window_codes > self.max_frames:
            raise ValueError(
                f"window_codes {self.window_codes} needs {2 * self.window_codes} latent frames; "
                f"max_frames is {self.max_frames}"
            )
        return self


class ScalarConfig(Frozen):
    """Scalar codec: latents to waveform (published ``sqcodec_config.yaml``)."""

    num_bands: int = 1
    sample_rate: int = 24_000
    causal: bool = True
    num_samples: int = 1
    downsample_factors: tuple[int, ...] = (3, 4, 4, 4, 5)
    downsample_kernel_sizes: tuple[int, ...] = (6, 8, 8, 8, 10)
    upsample_factors: tuple[int, ...] = (5, 4, 4, 4, 3)
    upsample_kernel_sizes: tuple[int, ...] = (10, 8, 8, 8, 6)
    latent_hidden_dim: int = 136
    default_kernel_size: int = 7
    delay_kernel_size: int = 5
    init_channel: int = 64
    res_kernel_size: int = 7

    @property
    def stride(self) -> int:
        """Samples of one latent frame."""
        product = self.num_samples
        for factor in self.upsample_factors:
            product *= factor
        return product


class GenerationConfig(Frozen):
    """How a model is best sampled where the job does not say (published defaults).

    Attributes:
        temperature: divides the logits.
        top_k: keep the k most probable ids; None keeps all.
        guidance: 1 is off.
        max_frames: most frames or text ids of an answer; None takes the task's number.
    """

    temperature: float = Field(0.9, gt=0)
    top_k: int | None = Field(50, ge=1)
    guidance: float = Field(1.0, ge=1.0)
    max_frames: int | None = Field(None, gt=0)


class SpeechConfig(Frozen):
    """How much a model says at once, where that is less than its answers have room for.

    Attributes:
        letters_per_s: how fast it speaks; pauses between words count.
        longest_s: a text that takes longer to say is spoken in passages.
        passage_s: most of one of these; None takes `longest_s`.
    """

    letters_per_s: float = Field(13.0, gt=0)
    longest_s: float | None = Field(None, gt=0)
    passage_s: float | None = Field(None, gt=0)


class AlignmentConfig(Frozen):
    """How times of words are told, see `uniaudio2.timing`.

    Attributes:
        heads: layer and head of the backbone's attention that follows a recording while its words
            are written down, chosen by measurement (``python -m benchmarks times``); none takes
            the mean of all heads of the upper half of the layers.
        lead_s: how much earlier than the middle of a word they attend to it.
    """

    heads: tuple[tuple[int, int], ...] = ()
    lead_s: float = 0.0


class ModelConfig(Frozen):
    """The whole model. `trained` is false for weights drawn from a seed; a `codec_only` model has
    no language model, and `lm` describes nothing."""

    name: str
    trained: bool = True
    codec_only: bool = False
    seed: int | None = Field(None, description="draw the weights from this seed (no weight files)")
    fingerprint: str = ""
    generation: GenerationConfig = GenerationConfig()
    generation_by_task: dict[str, GenerationConfig] = Field(
        {}, description="in the place of `generation`, for the tasks that are named"
    )
    speech: SpeechConfig = SpeechConfig()
    lm: LmConfig = LmConfig()
    codec: CodecConfig = CodecConfig()
    flow: FlowConfig = FlowConfig()
    scalar: ScalarConfig = ScalarConfig()
    alignment: AlignmentConfig = AlignmentConfig()

    @model_validator(mode="after")
    def _heads_are_there(self) -> ModelConfig:
        layers, heads = self.lm.backbone.layers, self.lm.backbone.heads
        for layer, head in self.alignment.heads:
            if not (0 <= layer < layers and 0 <= head < heads):
                raise ValueError(
                    f"alignment.heads [{layer}, {head}] must be a layer of 0..{layers - 1} and a "
                    f"head of 0..{heads - 1} of the backbone"
                )
        return self

    @model_validator(mode="after")
    def _rates_agree(self) -> ModelConfig:
        if self.scalar.stride != self.codec.frame_samples:
            raise ValueError(
                f"scalar codec stride {self.scalar.stride} must equal the "
                f"{self.codec.frame_samples} samples of a 25 Hz frame"
            )
        return self
