"""Published names of the encoder's tensors: the trained codec and its three frozen encoders.

The frozen encoders may lie inside the codec's checkpoint or in files of their own; the same rules
serve both, with another prefix.
"""

from __future__ import annotations

from uniaudio2.checkpoint.published.quantizer_names import QUANTIZER_RULES
from uniaudio2.checkpoint.rules import Rule
from uniaudio2.config import CodecConfig

_PUBLISHED = CodecConfig()
WAVLM_DEPTH = max(_PUBLISHED.wavlm_layers)
MUSIC_DEPTH = max(_PUBLISHED.music.acoustic_layer, _PUBLISHED.music.semantic_layer)

_BEYOND = "comes after the last hidden state in use"
_COMPUTED = "a constant that is computed"


def _below(depth: int) -> str:
    """A pattern for the layer numbers ``0 .. depth - 1``."""
    return "(?:" + "|".join(str(layer) for layer in range(depth)) + ")"


def whisper_rules(prefix: str) -> tuple[Rule, ...]:
    """Names of a Whisper encoder behind `prefix` (a regular expression)."""
    names = r"((?:conv[12]|embed_positions|layers|layer_norm)\..+)"
    return (Rule(prefix + names, r"features.whisper.\1"),)


def wavlm_rules(prefix: str, depth: int = WAVLM_DEPTH) -> tuple[Rule, ...]:
    """Names of a WavLM behind `prefix`, weight norm in the newer spelling, `depth` layers kept."""
    ours = "features.wavlm."
    return (
        Rule(prefix + r"((?:feature_extractor|feature_projection)\..+)", ours + r"\1"),
        Rule(prefix + r"(encoder\.(?:pos_conv_embed|layer_norm)\..+)", ours + r"\1"),
        Rule(prefix + rf"(encoder\.layers\.{_below(depth)}\..+)", ours + r"\1"),
        Rule(prefix + r"encoder\.layers\.\d+\..+", None, _BEYOND),
        Rule(prefix + r"masked_spec_embed", None, "masks frames in training"),
    )


def music_rules(
    prefix: str = r"model\.", ours: str = "features.music.", depth: int = MUSIC_DEPTH
) -> tuple[Rule, ...]:
    """Names of MusicFM.

    Args:
        prefix: regular expression before every name; the default is MusicFM's own checkpoint.
        ours: what stands before our names.
        depth: conformer layers kept.
    """
    return (
        Rule(
            prefix + r"conv\.conv\.(\d+)\.((?:conv|bn)[123]\..+)",
            ours + r"front_end.blocks.\1.\2",
        ),
        Rule(prefix + r"conv\.linear\.(weight|bias)", ours + r"front_end.linear.\1"),
        Rule(prefix + rf"conformer\.(layers\.{_below(depth)}\..+)", ours + r"\1"),
        Rule(prefix + r"conformer\.(?:layers\.\d+|layer_norm)\..+", None, _BEYOND),
        Rule(prefix + r"linear\.(?:weight|bias)", None, "logits of the training targets"),
        Rule(prefix + r"quantizer_\w+\..+", None, "makes the training targets"),
        Rule(prefix + r"cls_token", None, "never read"),
        Rule(prefix + r"conformer\.pos_conv_embed\..+", None, "never read"),
        Rule(prefix + r"conformer\.embed_positions\.inv_freq", None, _COMPUTED),
        Rule(prefix + r"preprocessor_\w+\.mel_stft\..+", None, _COMPUTED),
    )


_THINKING_RULES = (
    Rule(r"audio_thinking\.cls_token", "thinking.query_token"),
    Rule(r"audio_thinking\.down_sampling_layer_whisper\.(weight|bias)", r"thinking.down.\1"),
    Rule(r"audio_thinking\.semantic_merge_proj\.(weight|bias)", r"thinking.merge_linear.\1"),
    *(
        Rule(
            rf"audio_thinking\.encoder_transformers\.(\d+)\.{published}",
            rf"thinking.blocks.\1.{ours}",
        )
        for published, ours in (
            (r"self_attn\.to_qkv\.weight", "qkv.weight"),
            (r"self_attn\.to_out\.weight", "out.weight"),
            (r"self_attn\.([qk]_norm\.(?:weight|bias))", r"\2"),
            (r"self_attn_scale\.scale", "attention_scale"),
            (r"ff\.ff\.0\.proj\.(weight|bias)", r"mlp_in.\2"),
            (r"ff\.ff\.2\.(weight|bias)", r"mlp_out.\2"),
            (r"ff_scale\.scale", "mlp_scale"),
        )
    ),
    Rule(r"audio_thinking\.encoder_transformers\.\d+\.rope\.inv_freq", None, _COMPUTED),
)

_BRANCH_RULES = tuple(
    Rule(rf"{published}\.(weight|bias)", rf"branches.{ours}.\1")
    for published, ours in (
        ("d_conv_wavlm", "pronunciation.downs.0"),
        ("d_conv_embedding_semantic", "structure.downs.0"),
        ("d_conv_embedding_acoustic", "acoustic.downs.0"),
        ("d_conv_whisper", "acoustic.downs.1"),
        ("cond_fusion_layer_phone", "pronunciation.fusion"),
        ("cond_fusion_layer_semantic", "structure.fusion"),
        ("cond_fusion_layer_acoustic", "acoustic.fusion"),
        ("time_film_phone", "pronunciation.film"),
        ("time_film_semantic", "structure.film"),
        ("time_film_acoustic", "acoustic.film"),
    )
)

ENCODER_RULES: tuple[Rule, ...] = (
    *QUANTIZER_RULES,
    *_THINKING_RULES,
    *_BRANCH_RULES,
    *whisper_rules(r"whisper_encoder\."),
    *wavlm_rules(r"wavlm_encoder\."),
    *music_rules(r"pretrained_model\.model\.model\."),
    Rule(r"wavlm_transfer\.kernel", None, _COMPUTED),
    Rule(
        r"(?:structure_semantic|pronunciation)_decoder\..+",
        None,
        "rebuilds features for a training loss",
    ),
    Rule(r"cfm_wrapper\..+|zero_cond_embedding1|cond_feature_emb\..+", None, "the decoder's"),
)
"""For an ``AudioDiffusion1D`` state dict after ``fold_weight_norm(keep=("wavlm_encoder.",))``."""
