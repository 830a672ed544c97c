"""Every number of nano: its sizes, its data and how long each stage trains."""

from __future__ import annotations

from uniaudio2.config import (
    AlignmentConfig,
    CodecConfig,
    FlowConfig,
    GenerationConfig,
    LmConfig,
    ModelConfig,
    MusicConfig,
    RopeConfig,
    ScalarConfig,
    SpecialIds,
    StackConfig,
    VqConfig,
)
from uniaudio2.frozen import Frozen
from uniaudio2.training.data.corpus import Group
from uniaudio2.training.trainers.loop import Schedule

_REASON_CODES, _SEMANTIC_CODES, _TEXT_IDS = 128, 256, 512
_REASON_CARD, _SEMANTIC_CARD = _REASON_CODES + 4, _SEMANTIC_CODES + 8


class Recipe(Frozen):
    """A model and how it is trained.

    Attributes:
        model: sizes; its fingerprint is filled in by the export.
        seed: decides data, weights and batches.
        corpus: clips to train on, by group.
        evaluation: clips to evaluate on, by group.
        scalar, codec, lm, flow, recogniser: schedules of the stages.
    """

    model: ModelConfig
    seed: int = 1
    corpus: dict[Group, int]
    evaluation: dict[Group, int]
    scalar: Schedule
    codec: Schedule
    lm: Schedule
    flow: Schedule
    recogniser: Schedule


def _ids() -> SpecialIds:
    tags = ("think", "transcription", "lyric", "caption")
    return SpecialIds(
        reason_bos=_REASON_CODES,
        reason_eos=_REASON_CODES + 1,
        reason_pad=_REASON_CODES + 3,
        semantic_bos=_SEMANTIC_CODES,
        semantic_eos=_SEMANTIC_CODES + 1,
        semantic_pad=_SEMANTIC_CODES + 2,
        audio_prompt_bos=_REASON_CARD + _SEMANTIC_CODES + 4,
        audio_prompt_eos=_REASON_CARD + _SEMANTIC_CODES + 5,
        text_bos=_TEXT_IDS,
        text_eos=_TEXT_IDS + 1,
        text_pad=_TEXT_IDS + 2,
        tags={tag: (_TEXT_IDS + 3 + 2 * n, _TEXT_IDS + 4 + 2 * n) for n, tag in enumerate(tags)},
    )


def _lm() -> LmConfig:
    def stack(layers: int) -> StackConfig:
        return StackConfig(layers=layers, dim=192, heads=6, kv_groups=3, mlp_dim=512)

    return LmConfig(
        text_vocab=_TEXT_IDS + 11,
        reason_card=_REASON_CARD,
        semantic_card=_SEMANTIC_CARD,
        reason_codes=_REASON_CODES,
        semantic_codes=_SEMANTIC_CODES,
        rope=RopeConfig(base=10_000.0, factor=1.0),
        ids=_ids(),
        backbone=stack(3),
        understanding_expert=stack(2),
        generation_expert=stack(1),
        local_decoder=StackConfig(layers=2, dim=128, heads=4, kv_groups=2, mlp_dim=384),
    )


def _codec() -> CodecConfig:
    return CodecConfig(
        segment_frames=100,
        dim=128,
        query_layers=2,
        query_head_dim=32,
        whisper={
            "d_model": 96,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 256,
            "num_mel_bins": 80,
        },
        # three convolutions instead of seven: the same 320 samples a frame, less work
        wavlm={
            "hidden_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            "conv_dim": [32, 64, 96],
            "conv_stride": [10, 8, 4],
            "conv_kernel": [20, 12, 6],
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
            "num_buckets": 64,
            "max_bucket_distance": 128,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "feat_proj_dropout": 0.0,
            "layerdrop": 0.0,
        },
        wavlm_layers=(1, 2),
        music=MusicConfig(
            dim=96,
            conv_dim=16,
            layers=3,
            heads=4,
            mlp_dim=256,
            conv_kernel=7,
            mel_bins=80,
            acoustic_layer=1,
            semantic_layer=2,
        ),
        reasoning=VqConfig(levels=8, size=_REASON_CODES, dim=16),
        pronunciation=VqConfig(levels=1, size=_SEMANTIC_CODES, dim=16),
        structure=VqConfig(levels=1, size=_SEMANTIC_CODES, dim=16),
        acoustic=VqConfig(levels=6, size=_SEMANTIC_CODES, dim=24),
    )


def _scalar() -> ScalarConfig:
    # two up-sampling blocks: to moments of 10 ms, then to a quarter of the rate; four samples at
    # a time, because the layers at full rate cost most and hear least
    return ScalarConfig(
        causal=False,
        num_samples=4,
        downsample_factors=(60, 4),
        downsample_kernel_sizes=(120, 8),
        upsample_factors=(4, 60),
        upsample_kernel_sizes=(8, 120),
        latent_hidden_dim=96,
        init_channel=24,
    )


NANO = Recipe(
    model=ModelConfig(
        name="nano",
        generation=GenerationConfig(temperature=0.5, top_k=20, guidance=1.5, max_frames=150),
        # chosen on texts and captions that the evaluation's table does not use
        generation_by_task={
            "tts": GenerationConfig(temperature=0.1, top_k=20, max_frames=150),
            "tta": GenerationConfig(temperature=0.8, top_k=50, guidance=1.5, max_frames=150),
        },
        lm=_lm(),
        codec=_codec(),
        flow=FlowConfig(
            layers=5, heads=6, head_dim=32, window_codes=40, steps=2, guidance=1.0, windows="fitted"
        ),
        scalar=_scalar(),
        # chosen on clips of training's voices that it does not use: `python -m benchmarks times`
        alignment=AlignmentConfig(heads=((1, 2), (2, 3)), lead_s=0.06),
    ),
    corpus={"train": 16_000, "sounds": 6_000},
    evaluation={"unseen_variants": 400, "unseen_voices": 400, "unseen_sounds": 400},
    scalar=Schedule(steps=3000, lr=1e-3),
    codec=Schedule(steps=3400, lr=1.2e-3, warmup=100, bfloat16=True),
    lm=Schedule(steps=4200, lr=1.5e-3, bfloat16=True),
    flow=Schedule(steps=7000, lr=1.5e-3, warmup=100, bfloat16=True),
    recogniser=Schedule(steps=1000, lr=2e-3, warmup=100),
)
