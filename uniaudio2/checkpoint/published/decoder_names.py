"""Published names of the decoder's tensors: the flow in the codec's checkpoint, the scalar codec
in its own."""

from __future__ import annotations

from uniaudio2.checkpoint.rules import Rule

_ESTIMATOR = r"cfm_wrapper\.estimator\."
_ENCODER_ONLY = (
    r"(?:whisper_encoder|wavlm_encoder|wavlm_transfer|pretrained_model|d_conv_\w+"
    r"|cond_fusion_layer_\w+|time_film_\w+|structure_semantic_decoder|pronunciation_decoder"
    r"|audio_thinking\.(?!reasoning_vq\.)\w+)(?:\..+)?"
)


def _named(published: str, ours: str) -> Rule:
    """Weight and bias of one layer."""
    return Rule(published + r"\.(weight|bias)", ours + r".\g<1>")


_BLOCK_RULES = tuple(
    Rule(
        _ESTIMATOR + rf"transformer_blocks\.(\d+)\.{published}\.(weight|bias)",
        rf"transformer.blocks.\1.{ours}.\2",
    )
    for published, ours in (
        (r"attn1\.to_q", "query"),
        (r"attn1\.to_k", "key"),
        (r"attn1\.to_v", "value"),
        (r"attn1\.to_out\.0", "out"),
        (r"ff\.net\.0\.proj", "mlp_in"),
        (r"ff\.net\.2", "mlp_out"),
    )
)

DECODER_RULES: tuple[Rule, ...] = (
    Rule("zero_cond_embedding1", "zero_condition"),
    _named("cond_feature_emb", "condition"),
    Rule(_ESTIMATOR + "scale_shift_table", "transformer.table"),
    Rule(
        _ESTIMATOR + r"transformer_blocks\.(\d+)\.scale_shift_table", r"transformer.blocks.\1.table"
    ),
    *_BLOCK_RULES,
    _named(_ESTIMATOR + r"proj_in\.ffn_1", "transformer.proj_in.conv"),
    _named(_ESTIMATOR + r"proj_in\.ffn_2", "transformer.proj_in.linear"),
    _named(_ESTIMATOR + r"proj_out\.ffn_1", "transformer.proj_out.conv"),
    _named(_ESTIMATOR + r"proj_out\.ffn_2", "transformer.proj_out.linear"),
    _named(_ESTIMATOR + r"adaln_single\.emb\.timestep_embedder\.linear_1", "transformer.time_in"),
    _named(_ESTIMATOR + r"adaln_single\.emb\.timestep_embedder\.linear_2", "transformer.time_out"),
    _named(_ESTIMATOR + r"adaln_single\.linear", "transformer.modulation"),
    Rule(_ESTIMATOR + r"pos_embed\.pe", None, "a constant that is computed"),
    Rule(_ENCODER_ONLY, None, "the encoder's"),
)
"""For an ``AudioDiffusion1D`` state dict after ``fold_weight_norm``, beside ``QUANTIZER_RULES``."""


def _scalar_rules(half: str, resampling: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Names of one half of the scalar codec; positions of its layers stay as published."""
    ours = f"scalar.{half}."
    return (
        *resampling,
        Rule(
            half + r"\.(\d+)\.convs\.(\d+)\.((?:conv|activation)[12]\.(?:weight|bias))",
            ours + r"\1.units.\2.\3",
        ),
        Rule(half + r"\.(\d+\.(?:conv|activation)\.(?:weight|bias))", ours + r"\1"),
        Rule(half + r"\.(\d+\.(?:weight|bias))", ours + r"\1"),
    )


SCALAR_ENCODER_RULES: tuple[Rule, ...] = _scalar_rules(
    "encoder",
    (
        Rule(
            r"encoder\.(\d+)\.down_conv\.layer\.(weight|bias)",
            r"scalar.encoder.\1.down.\2",
        ),
        Rule(
            r"encoder\.(\d+)\.down_conv\.activation\.weight",
            r"scalar.encoder.\1.activation.weight",
        ),
    ),
)
"""For who needs latents of waves: put them before `SCALAR_RULES`, which leave the encoder out."""

SCALAR_RULES: tuple[Rule, ...] = (
    *_scalar_rules(
        "decoder",
        (Rule(r"decoder\.(\d+)\.up_conv\.layer\.(weight|bias)", r"scalar.decoder.\1.up.\2"),),
    ),
    Rule(r"encoder\..+", None, "makes latents of waves, which decoding codes does not need"),
)
"""For ``sqcodec.pth["codec_model"]`` after ``fold_weight_norm``."""
