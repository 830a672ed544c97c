"""``uniaudio2 inspect``: a model's parameters, limits and ids as text."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from actors.storage.model_cache import list_folder
from actors.storage.model_hub import commit_of, pinned
from actors.storage.model_source import is_remote, local_model
from pipelines.cli.inspect_input import two_columns
from pipelines.errors import RunFailed, UsageError
from uniaudio2.checkpoint.folders import card_entry, load_config, model_fingerprint, model_folder
from uniaudio2.checkpoint.layout import are_published, describe_files, files_of
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.lm.model import UniAudioLM


def _millions(module: nn.Module) -> str:
    return f"{sum(tensor.numel() for tensor in module.state_dict().values()) / 1e6:.2f} M"


def describe(source: str) -> str:
    """The facts of a model as text, see `facts_of`."""
    return two_columns(facts_of(source))


def facts_of(source: str) -> list[tuple[str, str]]:
    """Sizes, limits, ids and fingerprint of a model, counted on the meta device; of a published
    folder, which files are there. Of a URL only the listing and the configuration are fetched.

    Raises:
        UsageError: no such model.
    """
    try:
        source = pinned(source)
        files = _files(source)
        if are_published(files):
            return _published(source, files)
        folder = model_folder(local_model(source, weights=False))
        config = load_config(folder)
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise RunFailed(f"{source}: {fault}") from fault
    with torch.device("meta"):
        sizes = {
            "encoder": CodecEncoder(config.codec),
            "language model": UniAudioLM(config.lm),
            "decoder": FlowDecoder(config.flow, config.codec, config.scalar),
        }
    codec, lm = config.codec, config.lm
    if config.codec_only:
        sizes.pop("language model")
    return [
        ("model", model_fingerprint(config)),
        *_commit(source),
        ("trained", "yes" if config.trained else "no: its output means nothing"),
        *_of_card(folder),
        *((name, f"{_millions(size)} numbers") for name, size in sizes.items()),
        ("context", f"{lm.context} positions"),
        ("segment", f"{codec.segment_frames / 25:g} s"),
        ("window", f"{config.flow.window_codes / 12.5:g} s, {config.flow.steps} Euler steps"),
        ("reasoning codes", f"{codec.reasoning.levels} x {codec.reasoning.size} at 5 Hz"),
        ("reconstruction codes", f"8 x {codec.acoustic.size} at 12.5 Hz"),
        ("text ids", f"{lm.text_vocab}, bos {lm.ids.text_bos}, eos {lm.ids.text_eos}"),
        ("tags", ", ".join(f"{name} {pair}" for name, pair in lm.ids.tags.items())),
    ]


def _of_card(folder: Path) -> list[tuple[str, str]]:
    """What the model was trained for and which words it knows, as far as its card lists them."""
    entries = [(name, card_entry(folder, name)) for name in ("Tasks", "Words")]
    return [(name.lower(), f"{len(items)}: {', '.join(items)}") for name, items in entries if items]


def _files(source: str) -> dict[str, int]:
    """Sizes of a folder's files; none where the model is bundled or absent."""
    if is_remote(source):
        return {name: file.size for name, file in list_folder(source).items()}
    return files_of(Path(source)) if Path(source).is_dir() else {}


def _published(source: str, files: dict[str, int]) -> list[tuple[str, str]]:
    return [
        ("published", f"{source}; --model {source} runs it, `uniaudio2 convert` makes a folder"),
        *_commit(source),
        *describe_files(files),
    ]


def _commit(source: str) -> list[tuple[str, str]]:
    commit = commit_of(source)
    return [("commit", f"{commit}; --model {source} names it")] if commit else []
