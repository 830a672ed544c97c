"""Our model folder: ``config.json``, safetensors files by component, ``tokenizer/``.

The quantizers belong to both encoder and decoder and are stored once. A configuration with a
`seed` has no weight files: its weights are drawn, the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from uniaudio2.checkpoint.folders import fingerprint
from uniaudio2.checkpoint.rules import load_exactly
from uniaudio2.config import ModelConfig
from uniaudio2.seeds import row_seed

QUANTIZERS = "quantizers"
SHARED_PREFIX = QUANTIZERS + "."
SHARD_BYTES = 2 * 10**9
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


def _qualified(name: str, component: str) -> str:
    return name if name.startswith(SHARED_PREFIX) else f"{component}.{name}"


class _WithoutInitialValues(TorchFunctionMode):
    """Modules are built without their first values, which nothing would ever read: on the meta
    device, where there is nothing to fill, torch imports its compiler (a second) to draw them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def load_component(
    build: Callable[[], _M], component: str, folder: Path, config: ModelConfig, device: torch.device
) -> _M:
    """Build a component without memory, give it its weights and make it ready for inference.

    Weights from files stay memory-mapped until they are used or moved, in their stored dtype;
    float16 is a way to store them, not to compute, and becomes float32.

    Args:
        build: makes the module; every tensor of it must be in its state dict.
        component: name of its file.
        folder: the model folder.
        config: tells whether weights are drawn or read.
        device: where the component goes.

    Raises:
        ValueError: the files hold too few or too many tensors for the configuration.
    """
    with torch.device("meta"), _WithoutInitialValues():
        module = build()
    if config.seed is not None:
        module.to_empty(device="cpu")
        draw_weights(module, component, config.seed)
    else:
        shared = any(name.startswith(SHARED_PREFIX) for name in module.state_dict())
        load_exactly(
            module, _stored(folder, component) | (_stored(folder, QUANTIZERS) if shared else {})
        )
    return module.to(device).eval().requires_grad_(False)


def _stored(folder: Path, file: str) -> dict[str, Tensor]:
    whole = folder / f"{file}.safetensors"
    shards = [whole] if whole.is_file() else sorted(folder.glob(f"{file}-*-of-*.safetensors"))
    if not shards:
        raise ValueError(f"{whole} is missing; copy the whole model folder or convert it again")
    stored = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    return {
        name: tensor.float() if tensor.dtype == torch.float16 else tensor
        for name, tensor in stored.items()
    }


def draw_weights(module: nn.Module, component: str, seed: int) -> None:
    """Draw a module's weights: every tensor from the seed and its own name alone."""
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            tensor.zero_()  # a counter of training steps
            continue
        generator = torch.Generator().manual_seed(row_seed(seed, _qualified(name, component)))
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


def save_model(
    folder: Path,
    config: ModelConfig,
    components: Mapping[str, nn.Module],
    dtype: torch.dtype | None = None,
) -> ModelConfig:
    """Write a model folder and return its configuration with the fingerprint filled in.

    Args:
        folder: is made if absent; the tokenizer is the caller's to add.
        config: the sizes; its seed is dropped, for the weights are now in files.
        components: ``encoder``, ``lm`` and ``decoder`` modules.
        dtype: what floats become in the files; None leaves them.
    """
    files: dict[str, dict[str, Tensor]] = {}
    for component, module in components.items():
        for name, tensor in module.state_dict().items():
            file = QUANTIZERS if name.startswith(SHARED_PREFIX) else component
            files.setdefault(file, {})[name] = tensor
    return write_folder(folder, config, files, dict.fromkeys(files, dtype) if dtype else None)


def write_folder(
    folder: Path,
    config: ModelConfig,
    files: Mapping[str, Mapping[str, Tensor]],
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> ModelConfig:
    """Write weights and, last, the configuration: a folder without it is no model.

    At most one shard is in memory, whatever `files` maps.

    Args:
        folder: is made if absent.
        config: the sizes; its seed is dropped.
        files: file names to the tensors they hold, by our names.
        dtypes: by file name, what its floats become; others stay as they are.

    Returns:
        the configuration with the fingerprint filled in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digests = {
        file: _write_file(folder, file, tensors, (dtypes or {}).get(file))
        for file, tensors in files.items()
    }
    config = config.model_copy(update={"seed": None})
    config = config.model_copy(update={"fingerprint": fingerprint(config, digests)})
    (folder / "config.json").write_text(config.model_dump_json(indent=2) + "\n")
    return config


def _write_file(
    folder: Path, file: str, tensors: Mapping[str, Tensor], dtype: torch.dtype | None
) -> str:
    """Write one file, or several where it is large; return the hash of its contents."""
    content = hashlib.blake2b(digest_size=16)
    shards = list(_shards(tensors))
    for number, names in enumerate(shards, start=1):
        ready = {name: _ready(tensors[name], dtype) for name in names}
        for name, tensor in ready.items():
            content.update(f"{name}:{tensor.dtype}{tuple(tensor.shape)}".encode())
            content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        suffix = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
        save_file(ready, folder / f"{file}{suffix}.safetensors")
    return content.hexdigest()


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Names in order, cut where the next tensor would make a shard too large."""
    names: list[str] = []
    size = 0
    for name in sorted(tensors):
        size += tensors[name].nbytes
        if names and size > SHARD_BYTES:
            yield names
            names, size = [], tensors[name].nbytes
        names.append(name)
    yield names


def _ready(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Copy a tensor: safetensors refuses tensors that share memory, as mapped ones do."""
    kept = dtype if dtype and tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", kept, copy=True, memory_format=torch.contiguous_format)
