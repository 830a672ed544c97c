"""Our model folder: ``config.json``, one safetensors file a part, ``tokenizer/``.

The quantizers belong to both encoder and decoder and are stored once. A configuration with a
`seed` has no weight files: its weights are drawn, the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uniaudio2.checkpoint.rules import load_exactly
from uniaudio2.config import ModelConfig
from uniaudio2.frozen import nearest
from uniaudio2.seeds import row_seed

BUNDLED = Path(__file__).parents[1] / "models"
SHARED_PREFIX = "quantizers."
_M = TypeVar("_M", bound=nn.Module)

# How weights are drawn: end of the name, mean, spread (None: by the tensor's own fan-in).
_DRAWS: tuple[tuple[str, float, float | None], ...] = (
    (r"running_var$|original0$", 1.0, 0.05),
    (r"activation\d?\.weight$", 0.25, 0.01),
    (r"units\.\d+\.conv2\.weight$", 0.0, 0.05),  # else residual units amplify without end
    (r"_scale$", 1.0, 0.05),
    (r"codebook", 0.0, 1.0),
    (r"embed", 0.0, 0.3),
    (r"", 0.0, None),
)


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def model_folder(source: str) -> Path:
    """The folder of a bundled model or of a path.

    Raises:
        ValueError: neither; the message names the bundled ones.
    """
    if source in bundled_models():
        return BUNDLED / source
    folder = Path(source)
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


def _qualified(name: str, part: str) -> str:
    return name if name.startswith(SHARED_PREFIX) else f"{part}.{name}"


def load_part(module: _M, part: str, folder: Path, config: ModelConfig, device: torch.device) -> _M:
    """Fill a freshly built part with its weights and make it ready for inference.

    Raises:
        ValueError: the files hold too few or too many tensors for the configuration.
    """
    if config.seed is not None:
        draw_weights(module, part, config.seed)
    else:
        shared = any(name.startswith(SHARED_PREFIX) for name in module.state_dict())
        stored = _stored(folder, part) | (_stored(folder, "quantizers") if shared else {})
        load_exactly(module, stored)
    return module.to(device).eval().requires_grad_(False)


def _stored(folder: Path, file: str) -> dict[str, Tensor]:
    path = folder / f"{file}.safetensors"
    if not path.is_file():
        raise ValueError(f"{path} is missing; copy the whole model folder or convert it again")
    return load_file(path)


def draw_weights(module: nn.Module, part: str, seed: int) -> None:
    """Fill a module from a seed: every tensor from its own name, whatever else is loaded."""
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        generator = torch.Generator().manual_seed(row_seed(seed, _qualified(name, part)))
        drawn = torch.randn(tensor.shape, generator=generator)
        mean, spread = next(
            (mean, spread) for ending, mean, spread in _DRAWS if re.search(ending, name)
        )
        if spread is None:
            # audio_head is [codebooks, in, out]; every other weight is [out, in, ...]
            fan_in = tensor.shape[1] if name == "audio_head" else tensor[0].numel()
            spread = 0.05 if tensor.ndim == 1 else fan_in**-0.5
            mean = 1.0 if tensor.ndim == 1 and name.endswith("weight") else 0.0
        drawn = mean + spread * drawn.clamp(-2, 2)
        tensor.copy_(drawn)


def save_model(folder: Path, config: ModelConfig, parts: Mapping[str, nn.Module]) -> ModelConfig:
    """Write a model folder and return its configuration with the fingerprint filled in.

    Args:
        folder: is made if absent; the tokenizer is the caller's to add.
        config: the sizes; its seed is dropped, for the weights are now in files.
        parts: ``encoder``, ``lm`` and ``decoder`` modules.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Tensor]] = {}
    for part, module in parts.items():
        for name, tensor in module.state_dict().items():
            file = "quantizers" if name.startswith(SHARED_PREFIX) else part
            files.setdefault(file, {})[name] = tensor.contiguous()
    for file, tensors in files.items():
        save_file(tensors, folder / f"{file}.safetensors")
    config = config.model_copy(update={"seed": None})
    config = config.model_copy(update={"fingerprint": fingerprint(config, files)})
    (folder / "config.json").write_text(config.model_dump_json(indent=2) + "\n")
    return config


def model_fingerprint(config: ModelConfig) -> str:
    """The stored fingerprint; a model drawn from a seed is told by its configuration alone."""
    return config.fingerprint or fingerprint(config, {})


def fingerprint(config: ModelConfig, files: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Hash of the configuration and of the weights' contents, e.g. ``nano-1f2e3d4c5b6a``."""
    facts = config.model_dump(mode="json", exclude={"fingerprint"})
    whole = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=6)
    for file in sorted(files):
        for name in sorted(files[file]):
            tensor = files[file][name].detach().cpu().contiguous()
            whole.update(f"{file}/{name}:{tensor.dtype}{tuple(tensor.shape)}".encode())
            whole.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"{config.name}-{whole.hexdigest()}"
