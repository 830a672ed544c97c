"""The language model's configuration, from ``llm_config.yaml`` and its tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniaudio2.checkpoint.published.settings import (
    State,
    checked,
    count,
    field_of,
    integer,
    read_settings,
    shape,
)
from uniaudio2.config import (
    CODEBOOKS,
    CodecConfig,
    LmConfig,
    SpecialIds,
    StackConfig,
    VqConfig,
)

# Width, and the query heads and key-value groups that no tensor shape tells, by the beginning of
# the name.
_NAMED = {
    "Llama-3.2-3B": (3072, 24, 8),
    "Llama-3.2-1B": (2048, 32, 8),
    "Llama-3.2-300M": (2048, 32, 8),
    "Llama-3.2-4Layer": (2048, 32, 8),
}
# Published names of our stacks, and the setting that names each; the experts have fixed names
# and the backbone's heads.
_STACKS = {
    "backbone": ("backbone", "llm_name"),
    "understanding_expert": ("audio_understanding_expert", "llm_name"),
    "generation_expert": ("audio_generation_expert", "llm_name"),
    "local_decoder": ("decoder", "local_model"),
}
_MARKERS = {
    "reason_bos": "reason_bos",
    "reason_eos": "reason_eos",
    "reason_pad": "reason_pad_token",
    "semantic_bos": "semantic_bos",
    "semantic_eos": "semantic_eos",
    "semantic_pad": "semantic_pad_token",
    "audio_prompt_bos": "audio_prompt_bos",
    "audio_prompt_eos": "audio_prompt_eos",
    "text_pad": "text_pad_token",
}


def lm_config(path: Path, lm: State, codec: CodecConfig, base: LmConfig, named: bool) -> LmConfig:
    """Build the configuration and check every setting against the tensors.

    Args:
        path: ``llm_config.yaml``.
        lm: tensors by published name.
        codec: tells how many ids of a card are codes.
        base: what neither file nor tensors tell.
        named: take head counts from the names in the settings, else from `base`.

    Raises:
        ValueError: a setting is missing or does not fit; file, value, rule and remedy.
    """
    settings = read_settings(path)
    stacks = {}
    for ours, (published, field) in _STACKS.items():
        stack: StackConfig = getattr(base, ours)
        facts = stack.dim, stack.heads, stack.kv_groups
        facts = _named(settings, field, path) if named else facts
        stacks[ours] = _stack(lm, published, *facts, path)
    sizes = {
        "text_vocab": shape(lm, "backbone.transformer.wte.weight")[0],
        "reason_card": integer(settings, "audio_reason_card", path),
        "semantic_card": integer(settings, "audio_semantic_card", path),
    }
    _check_cards(settings, lm, sizes["reason_card"] + sizes["semantic_card"], path)
    codes = {
        "reason_codes": _codes(base.reason_codes, codec.reasoning, sizes["reason_card"], path),
        "semantic_codes": _codes(base.semantic_codes, codec.acoustic, sizes["semantic_card"], path),
    }
    kept = base.model_dump(exclude={"ids", *stacks, *sizes, *codes})
    ids = _special_ids(settings, sizes, base.ids, path)
    return checked(LmConfig, path, **kept, **sizes, **codes, **stacks, ids=ids)


def _special_ids(
    settings: Mapping[str, Any], sizes: Mapping[str, int], base: SpecialIds, path: Path
) -> SpecialIds:
    """Markers of the settings, the other text ids of the base; each below its own card."""
    limits = {
        "reason": sizes["reason_card"],
        "semantic": sizes["semantic_card"],
        "audio": sizes["reason_card"] + sizes["semantic_card"],
        "text": sizes["text_vocab"],
    }
    ids = {
        ours: integer(settings, field, path, below=limits[ours.split("_")[0]])
        for ours, field in _MARKERS.items()
    }
    for kind in ("reason", "semantic"):
        if ids[f"{kind}_bos"] == ids[f"{kind}_eos"]:
            raise ValueError(
                f"{path}: {kind}_bos and {kind}_eos are both {ids[f'{kind}_bos']} and must differ; "
                "correct the file"
            )
    for tag, pair in base.tags.items():
        if max(pair) >= limits["text"]:
            raise ValueError(
                f"ids {pair} of tag {tag!r} must lie below the {limits['text']} entries of the "
                "text embedding; check that the checkpoint is the published one"
            )
    return SpecialIds(**{**base.model_dump(), **ids})


def marker_notes(config: LmConfig) -> list[str]:
    """List the markers that are also ids of codes, which a model cannot tell apart.

    It is what a checkpoint was trained with, so nothing is refused; but it should be known.
    """
    reason, semantic = config.reason_codes or 0, config.semantic_codes or 0
    joint = range(config.reason_card, config.reason_card + semantic)
    taken: dict[str, range] = {"reason": range(reason), "semantic": range(semantic), "audio": joint}
    return [
        f"{name} {marker} is also the id of a code"
        for name, marker in config.ids.model_dump(exclude={"tags"}).items()
        if marker in taken.get(name.split("_")[0], range(0))
    ]


def _codes(base: int | None, codec: VqConfig, card: int, path: Path) -> int | None:
    """Count the ids of a card that are codes of the codec; None where the base leaves it open."""
    if base is None:
        return None
    if codec.size > card:
        raise ValueError(
            f"{path}: a card of {card} must hold the codec's {codec.size} codes; codec and "
            "language model are not of one kind: take both from one release"
        )
    return codec.size


def _check_cards(settings: Mapping[str, Any], lm: State, cards: int, path: Path) -> None:
    columns = integer(settings, "parallel_number", path)
    if columns != CODEBOOKS + 1:
        raise ValueError(
            f"{path}: parallel_number {columns} must be {CODEBOOKS + 1}, eight codebooks and "
            "text; other layouts are not supported"
        )
    entries, width = shape(lm, "audio_embeddings.weight")[0], shape(lm, "audio_head")[-1]
    if entries != CODEBOOKS * cards or width != cards:
        raise ValueError(
            f"{path}: audio_reason_card + audio_semantic_card is {cards}, but the checkpoint has "
            f"{entries} audio embeddings, {entries / CODEBOOKS:g} a codebook, and heads of "
            f"{width}; all three must agree: correct the cards"
        )


def _named(settings: Mapping[str, Any], field: str, path: Path) -> tuple[int, int, int]:
    """Look up width, heads and groups of the model that a setting names."""
    name = str(field_of(settings, field, path))
    short = name.rpartition("/")[2]
    for known, facts in _NAMED.items():
        if short.startswith(known):
            return facts
    raise ValueError(
        f"{path}: {field} {name!r} is no known model; it must begin with one of "
        f"{', '.join(_NAMED)}: correct the file"
    )


def _stack(lm: State, name: str, width: int, heads: int, groups: int, path: Path) -> StackConfig:
    """Sizes of one stack, once its width and head counts are known."""
    first = f"{name}.transformer.h.0."
    dim = shape(lm, f"{name}.transformer.ln_f.weight")[0]
    older = first + "attn.attn.weight"
    outputs = shape(lm, older if older in lm else first + "attn.qkv.weight")[0]
    if dim != width or outputs * heads != dim * (heads + 2 * groups):
        raise ValueError(
            f"{path}: {name} is said to have width {width} and {heads} heads in {groups} groups, "
            f"but its attention has {outputs} outputs at width {dim}; correct the model's name"
        )
    return checked(
        StackConfig,
        path,
        layers=count(lm, rf"{name}\.transformer\.h\.\d+\.norm_1\.weight"),
        dim=dim,
        heads=heads,
        kv_groups=groups,
        mlp_dim=shape(lm, first + "mlp.fc_1.weight")[0],
    )
