"""Weights of a published checkpoint folder, under our names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from uniaudio2.checkpoint.published.decoder_names import DECODER_RULES, SCALAR_RULES
from uniaudio2.checkpoint.published.encoder_names import (
    ENCODER_RULES,
    music_rules,
    wavlm_rules,
    whisper_rules,
)
from uniaudio2.checkpoint.published.lm_names import lm_rules, strip_module
from uniaudio2.checkpoint.published.pickles import read_tensors
from uniaudio2.checkpoint.published.quantizer_names import QUANTIZER_RULES
from uniaudio2.checkpoint.rules import Mapped, Rule, apply_rules, fold_weight_norm
from uniaudio2.config import LmConfig

_HUB_FILES = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    "pytorch_model.bin",
    "pytorch_model-*-of-*.bin",
)

# Entries of the codec's file that are no part of encoder or decoder.
_SPARE_RULES = (
    Rule(r"SQCodec\..+", None, "comes from the scalar codec's own file"),
    Rule(r"audio_thinking\.llama_model\..+", None, "describes audio in words for training"),
    Rule(r"pretrained_model\.model\.model\.rvq\w*\..+", None, "makes the training targets"),
)


@dataclass
class CodecWeights:
    """Everything but the language model, float32, under our names.

    Attributes:
        encoder: quantizers included.
        decoder: quantizers and scalar codec included.
        notes: what was left out or replaced, one line each.
    """

    encoder: dict[str, Tensor]
    decoder: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)


def read_lm(path: Path) -> dict[str, Tensor]:
    """The language model's tensors under their published names, memory-mapped.

    Optimizer states and whatever else lies beside ``model`` are not touched.

    Raises:
        ValueError: the file cannot be read or has no ``model``.
    """
    return strip_module(read_tensors(path, "model"))


def name_lm(state: Mapping[str, Tensor], config: LmConfig, ignore: Sequence[str]) -> Mapped:
    """The language model's tensors under our names.

    Raises:
        ValueError: a tensor is neither known nor ignored.
    """
    return _mapped("llm_ep*.checkpoint", state, lm_rules(config), ignore)


def read_codec(files: Mapping[str, Path], ignore: Sequence[str] = ()) -> CodecWeights:
    """Read codec, scalar codec and frozen encoders.

    Entries of frozen encoders in the codec's own file replace those of their folders, as they do
    where the published code loads it over them.

    Args:
        files: from `layout.find_all`.
        ignore: beginnings of published names that may be left out though nothing knows them.

    Raises:
        ValueError: a file cannot be read, or holds a tensor that is neither known nor ignored.
    """
    published = _floats(_without_wrapper(read_tensors(files["codec"], "model")))
    folded = fold_weight_norm(published, keep=("wavlm_encoder.",))
    name = files["codec"].name
    inside = _mapped(name, folded, (*ENCODER_RULES, *_SPARE_RULES), ignore)
    flow = _mapped(name, folded, (*QUANTIZER_RULES, *DECODER_RULES, *_SPARE_RULES), ignore)
    scalar_state = _floats(_without_wrapper(read_tensors(files["scalar"], "codec_model")))
    scalar = _mapped(files["scalar"].name, fold_weight_norm(scalar_state), SCALAR_RULES, ignore)
    frozen = _frozen_encoders(files)
    replaced = sorted(set(frozen.state) & set(inside.state))
    useless = Mapped(ignored={n: why for n, why in inside.ignored.items() if n in flow.ignored})
    return CodecWeights(
        encoder=frozen.state | inside.state,
        decoder=flow.state | scalar.state,
        notes=[
            f"{name}: its {len(replaced)} tensors of frozen encoders replace those of the folders",
            *left_out(name, useless),
            *(f"{entry}: not needed by the frozen encoders" for entry in frozen.unknown),
        ],
    )


def left_out(name: str, mapped: Mapped) -> list[str]:
    """What a name table left out, by reason."""
    reasons = Counter(mapped.ignored.values())
    return [f"{name}: {count} tensors left out: {why}" for why, count in sorted(reasons.items())]


def _mapped(
    name: str, state: Mapping[str, Tensor], rules: Sequence[Rule], ignore: Sequence[str]
) -> Mapped:
    ignored = (Rule(re.escape(start) + ".*", None, "ignored on request") for start in ignore)
    mapped = apply_rules(state, (*rules, *ignored))
    if mapped.unknown:
        raise ValueError(
            f"{name} holds {len(mapped.unknown)} tensors that no part of the model knows: "
            f"{sorted(mapped.unknown)[:4]}; every weight must find its place: if they are not "
            "needed, leave them out with --ignore and the beginning of their names"
        )
    return mapped


def _without_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop a training wrapper's leading ``module.``; inside names the word means something."""
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.float() if t.is_floating_point() else t for name, t in state.items()}


def _frozen_encoders(files: Mapping[str, Path]) -> Mapped:
    """The three frozen encoders from their own files; tensors that they do not need are noted."""
    whisper = apply_rules(
        {
            name: tensor
            for name, tensor in _hub_tensors(files["whisper"].parent).items()
            if name.startswith(("encoder.", "model.encoder."))
        },
        whisper_rules(r"(?:model\.)?encoder\."),
    )
    speech = fold_weight_norm(_hub_tensors(files["wavlm"].parent), keep=("",))
    wavlm = apply_rules(speech, wavlm_rules(r"(?:wavlm\.)?"))
    music = apply_rules(fold_weight_norm(read_tensors(files["music"], "model")), music_rules())
    parts = (whisper, wavlm, music)
    return Mapped(
        state=_floats(_union(part.state for part in parts)),
        unknown=[name for part in parts for name in part.unknown],
    )


def _union(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor for state in states for name, tensor in state.items()}


def _hub_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a Hugging Face model folder."""
    for pattern in _HUB_FILES:
        found = sorted(folder.glob(pattern))
        if found:
            return _union(
                load_file(path) if path.suffix == ".safetensors" else read_tensors(path, None)
                for path in found
            )
    raise ValueError(
        f"{folder} holds no weights, neither of {', '.join(_HUB_FILES)}; download the whole folder"
    )
