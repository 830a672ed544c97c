"""Published names of the quantizers, which the encoder and the flow decoder share."""

from __future__ import annotations

from torch import Tensor

from uniaudio2.checkpoint.rules import Rule

_PUBLISHED_PREFIXES = {
    "reasoning": r"audio_thinking\.reasoning_vq\.",
    "pronunciation": r"vq_pronunciation_semantic\.",
    "structure": r"vq_structure_semantic\.",
    "acoustic": r"vq_acoustic\.",
}


def _without_head_axis(codebook: Tensor) -> Tensor:
    """``[1, K, d]`` to ``[K, d]``: the published quantizer keeps an axis for several heads."""
    return codebook.squeeze(0)


def _rules_of(name: str, prefix: str) -> tuple[Rule, ...]:
    ours = f"quantizers.{name}."
    return (
        Rule(prefix + r"(project_in|project_out)\.(weight|bias)", ours + r"\1.\2"),
        Rule(
            prefix + r"layers\.(\d+)\._codebook\.embed",
            ours + r"codebooks.\1",
            change=_without_head_axis,
        ),
        Rule(
            prefix + r"layers\.\d+\._codebook\.(?:initted|cluster_size|embed_avg)",
            None,
            "moving averages that train a codebook",
        ),
    )


QUANTIZER_RULES: tuple[Rule, ...] = (
    *(rule for name, prefix in _PUBLISHED_PREFIXES.items() for rule in _rules_of(name, prefix)),
    Rule(r"reason_adaptor\.(weight|bias)", r"quantizers.reason_adaptor.\1"),
)
