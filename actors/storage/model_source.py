"""A model by its address becomes a folder of this node: fetched, converted, or as it is."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from actors.storage.model_cache import fetch_folder, list_folder
from actors.storage.model_hub import cache_folder, pinned
from uniaudio2.checkpoint.folders import bundled_models
from uniaudio2.checkpoint.layout import are_published, files_of, is_published

_CONFIG = "config.json"
_CARD = "README.md"  # which tells what the model was trained for
_TOKENIZER = "tokenizer/"
_OTHER_FRAMEWORKS = (".h5", ".msgpack", ".onnx", ".tflite", ".gguf")


def is_remote(source: str) -> bool:
    """Tell whether a model is named by a URL."""
    return "://" in source


def local_model(source: str, weights: bool = True) -> str:
    """Resolve any name of a model to one that `UniAudio2.load` takes.

    Args:
        source: name of a bundled model, a folder in our format or in the published one, or the
            ``s3://``, ``hf://`` or other URL of such a folder; see `pinned` for revisions.
        weights: false where only configuration and tokenizer are wanted; weights are fetched if it
            takes them.

    Returns:
        the name or a folder in our format. A published folder is converted once into the cache,
        in float32.

    Raises:
        ValueError: nothing is there, or it does not fit together.
        OSError: storage did not answer; the same call goes on.
    """
    if source in bundled_models():
        return source
    folder = fetched_folder(source, weights) if is_remote(source) else Path(source)
    return str(_converted(folder) if is_published(folder) else folder)


def fetched_folder(uri: str, weights: bool = True) -> Path:
    """Fetch the folder at a URL into the cache; see `local_model`."""
    uri = pinned(uri)
    files = list_folder(uri)
    wanted = set(needed_files(files))
    if not weights and _CONFIG in files and not are_published(files):
        wanted = {
            name for name in wanted if name in (_CONFIG, _CARD) or name.startswith(_TOKENIZER)
        }
    return fetch_folder(uri, files, wanted.__contains__)


def needed_files(names: Iterable[str]) -> list[str]:
    """Select the files of a folder that some component of a model may need.

    Hubs keep the weights of one encoder for several frameworks side by side; those beside
    safetensors are copies of them.
    """
    names = list(names)
    safe = {name.rpartition("/")[0] for name in names if name.endswith(".safetensors")}
    return [
        name
        for name in names
        if not name.endswith(_OTHER_FRAMEWORKS)
        and not (name.endswith(".bin") and name.rpartition("/")[0] in safe)
    ]


def _converted(published: Path) -> Path:
    """Convert the published folder to our format, by the first process of this node to ask."""
    identity = hashlib.blake2b(str(published.resolve()).encode(), digest_size=8)
    for name in files_of(published):
        facts = (published / name).stat()
        identity.update(f"{name}:{facts.st_size}:{facts.st_mtime_ns}\0".encode())
    target = cache_folder() / "converted" / f"{published.resolve().name}-{identity.hexdigest()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target / _CONFIG).is_file():
            # imported here: an actor starts with what it needs alone
            from uniaudio2.checkpoint.published.convert import convert_published

            shutil.rmtree(target, ignore_errors=True)
            convert_published(published, target)
    return target
