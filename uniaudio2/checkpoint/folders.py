"""Model folders as far as they are known without a tensor: names, configuration, fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from uniaudio2.checkpoint.layout import is_published
from uniaudio2.config import ModelConfig
from uniaudio2.frozen import nearest

BUNDLED = Path(__file__).parents[1] / "models"
DEFAULT_MODEL = "nano"
_MOST_CARD_CHARACTERS = 1 << 20


def bundled_models() -> list[str]:
    """List the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def model_folder(source: str) -> Path:
    """Find the folder of a bundled model or of a path.

    Raises:
        ValueError: neither, and the message names the bundled ones; or a published folder, which
            is to be converted first.
    """
    if source in bundled_models():
        return BUNDLED / source
    folder = Path(source)
    if is_published(folder):
        raise ValueError(
            f"model {source!r} is a published checkpoint folder; models are loaded from our own "
            f"format: run `uniaudio2 convert {source} TARGET` once and use TARGET"
        )
    if (folder / "config.json").is_file():
        return folder
    raise ValueError(
        f"model {source!r} is neither bundled nor a folder with config.json; "
        + nearest(source, bundled_models())
    )


def load_config(folder: Path) -> ModelConfig:
    """Read and check ``config.json``.

    Raises:
        ValueError: a key is unknown or a number does not fit.
    """
    return ModelConfig.model_validate_json((folder / "config.json").read_text())


def card_entry(folder: Path, name: str) -> tuple[str, ...]:
    """What a model's own card lists under a name, such as ``- **Tasks**: `asr`, `tts`.``

    Args:
        folder: of the model, in our format.
        name: of the entry.

    Returns:
        its items; () where the card has no such entry, or there is no card.
    """
    try:
        card = (folder / "README.md").read_text(errors="replace")[:_MOST_CARD_CHARACTERS]
    except OSError:
        return ()
    found = re.search(rf"^- \*\*{re.escape(name)}\*\*: ((?:.+\n)(?:  .+\n)*)", card, re.M)
    if found is None:
        return ()
    items = " ".join(found[1].split()).rstrip(".").split(",")
    return tuple(item.strip(" `") for item in items)


def model_fingerprint(config: ModelConfig) -> str:
    """Return the stored fingerprint; of a model drawn from a seed, that of its configuration."""
    return config.fingerprint or fingerprint(config, {})


def fingerprint(config: ModelConfig, digests: Mapping[str, str]) -> str:
    """Hash the configuration and the weights' contents, e.g. ``nano-1f2e3d4c5b6a``.

    Args:
        config: the configuration; the fingerprint in it does not count.
        digests: by file name, the hash of its tensors.
    """
    # left out where it says nothing, as older models were hashed without it
    silent = {"fingerprint"} if config.codec_only else {"fingerprint", "codec_only"}
    # how texts are cut, and times of texts are told, is no property of the weights
    silent |= {"speech", "alignment"}
    facts = config.model_dump(mode="json", exclude=silent)
    whole = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=6)
    for file in sorted(digests):
        whole.update(f"{file}:{digests[file]}".encode())
    return f"{config.name}-{whole.hexdigest()}"
