"""Converts a published checkpoint folder to our format."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from uniaudio2.checkpoint.layout import find_all
from uniaudio2.checkpoint.native import QUANTIZERS, SHARED_PREFIX, write_folder
from uniaudio2.checkpoint.published.config import build_config
from uniaudio2.checkpoint.published.lm_config import marker_notes
from uniaudio2.checkpoint.published.settings import checked, read_settings
from uniaudio2.checkpoint.published.weights import (
    CodecWeights,
    left_out,
    name_lm,
    read_codec,
    read_lm,
)
from uniaudio2.checkpoint.rules import check_exactly
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.config import LmConfig, ModelConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.tokenizer import special_tokens


def convert_published(
    source: Path,
    target: Path,
    dtype: torch.dtype = torch.float32,
    base: ModelConfig | None = None,
    ignore: Sequence[str] = (),
    small_codec: bool = False,
) -> ModelConfig:
    """Read a published folder and write ours, or leave nothing behind.

    Everything is checked before anything is written: settings against tensors, and every tensor
    against the model that they describe. Tensors are memory-mapped and written shard by shard.

    Args:
        source: the published folder.
        target: must not exist, or be empty.
        dtype: of the language model's weights. The codec stays float32, because codes near a
            decision boundary depend on precision.
        base: numbers that no published file tells; None for what ``base_config.yaml`` in the
            folder says, or for the published full-size model.
        ignore: beginnings of published names that may be left out though nothing knows them.
        small_codec: make a model of the codec of 1024 codes, without a language model.

    Returns:
        the configuration as written, with its fingerprint.

    Raises:
        ValueError: a file is missing or damaged, a setting or a tensor does not fit, or the
            target is taken.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is not empty; choose a folder that does not exist yet")
    files = find_all(source, small_codec)
    if base is None and "base" in files:
        base = checked(ModelConfig, files["base"], **read_settings(files["base"]))
    codec = read_codec(files, ignore)
    lm = read_lm(files["llm"]) if "llm" in files else None
    config = build_config(files, lm, codec, base)
    check_codec_weights(config, codec)
    weights, notes = _by_file(codec), list(codec.notes)
    if lm is not None:
        check_tokenizer(files["tokenizer"], config.lm)
        named = name_lm(lm, config.lm, ignore)
        check_lm_weights(config.lm, named.state)
        weights["lm"] = dict(named.state)
        notes += left_out(files["llm"].name, named)
        notes += [f"{files['llm_settings'].name}: {note}" for note in marker_notes(config.lm)]
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _copy_texts(files, unfinished)
        config = write_folder(unfinished, config, weights, {"lm": dtype})
        (unfinished / "README.md").write_text(_readme(config, source, dtype, notes))
        if target.exists():
            target.rmdir()
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return config


def check_codec_weights(config: ModelConfig, codec: CodecWeights) -> None:
    """Check every tensor of encoder and decoder against the configuration, without memory.

    Raises:
        ValueError: a tensor is missing, has no place, or has another shape.
    """
    with torch.device("meta"):
        encoder = CodecEncoder(config.codec)
        decoder = FlowDecoder(config.flow, config.codec, config.scalar)
    check_exactly(encoder, codec.encoder)
    check_exactly(decoder, codec.decoder)


def check_lm_weights(config: LmConfig, lm: Mapping[str, Tensor]) -> None:
    """Check every tensor of the language model against its configuration."""
    with torch.device("meta"):
        whole = UniAudioLM(config)
    check_exactly(whole, lm)


def check_tokenizer(path: Path, config: LmConfig) -> None:
    """Check that a ``tokenizer.json`` has the ids that the language model knows.

    Raises:
        ValueError: it is damaged, has ids beyond the text embedding, or gives a special token
            another id.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as fault:  # the library raises nothing more special
        raise ValueError(f"{path} is no tokenizer ({fault}); download it again") from fault
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= config.text_vocab:
        raise ValueError(
            f"{path} has ids up to {highest}, which must lie below the {config.text_vocab} "
            "entries of the text embedding; take the tokenizer that came with the checkpoint"
        )
    for token, wanted in special_tokens(config.ids).items():
        got = tokenizer.token_to_id(token)
        if got not in (None, wanted) and wanted != config.ids.text_pad:
            raise ValueError(
                f"{path} gives {token} the id {got}, it must be {wanted}; take the tokenizer that "
                "came with the checkpoint"
            )


def _by_file(codec: CodecWeights) -> dict[str, dict[str, Tensor]]:
    """Sort the codec's tensors by file; the quantizers, which encoder and decoder share, once."""

    def own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: t for name, t in state.items() if not name.startswith(SHARED_PREFIX)}

    shared = {name: t for name, t in codec.decoder.items() if name.startswith(SHARED_PREFIX)}
    return {
        "encoder": own(codec.encoder),
        "decoder": own(codec.decoder),
        QUANTIZERS: shared,
    }


def _copy_texts(files: Mapping[str, Path], target: Path) -> None:
    (target / "tokenizer").mkdir(parents=True)
    if "tokenizer" in files:
        shutil.copyfile(files["tokenizer"], target / "tokenizer/tokenizer.json")
    if "prompts" in files:
        shutil.copyfile(files["prompts"], target / "prompts.json")


def _readme(config: ModelConfig, source: Path, dtype: torch.dtype, notes: Sequence[str]) -> str:
    lines = [
        f"# {config.name}",
        "",
        f"Converted from the published checkpoint folder `{source.name}` by `uniaudio2 convert`.",
        f"Language model in {str(dtype).removeprefix('torch.')}, codec in float32.",
        f"Fingerprint: `{config.fingerprint}`. The terms of the published weights apply.",
        "",
        "What conversion left out or replaced:",
        "",
        *(f"- {note}" for note in notes),
    ]
    return "\n".join(lines) + "\n"
