"""Tensors of torch files, read by torch's own reader for weights, which runs nothing of a file.

Training frameworks store their settings beside the weights, as objects of classes that torch's
reader refuses. Every class that a file names beyond torch's own list is replaced by one that keeps
nothing and does nothing; no module is imported for it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from uniaudio2.shown import listed, shown

_ZIP_START = b"PK\x03\x04"


def read_tensors(path: Path, entry: str | None) -> dict[str, Tensor]:
    """Read the named tensors of a torch file, memory-mapped where the file allows it.

    Args:
        path: a file of ``torch.save``: in its zip format, or in the older one, which is then read
            into memory and may hold nothing but tensors, containers, numbers and texts.
        entry: the key below which the tensors lie; None where the file is the mapping itself.

    Returns:
        Names to tensors on the CPU, of the stored dtypes. What is no tensor is left out.

    Raises:
        ValueError: the file is damaged, holds objects that cannot be left out, or has no such
            entry.
    """
    content = _load(path)
    if entry is not None:
        if not isinstance(content, Mapping) or entry not in content:
            is_mapping = isinstance(content, Mapping)
            there = f"[{listed(content)}]" if is_mapping else type(content).__name__
            raise ValueError(
                f"{path} has no entry {entry!r}, it holds {there}; "
                "check that it is the published file"
            )
        content = content[entry]
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path} holds a {type(content).__name__} where names and tensors are needed; "
            "check that it is the published file"
        )
    # unbound: a file may give its tensors attributes of any name
    return {
        name: Tensor.as_subclass(tensor, Tensor)
        for name, tensor in content.items()
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }


def _load(path: Path) -> object:
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP_START)) == _ZIP_START
    try:
        names = get_unsafe_globals_in_checkpoint(path) if is_zip else []
        with safe_globals([_stand_in(name) for name in names]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as fault:
        raise ValueError(
            f"{path} holds more than weights, in a way that cannot be left out, or is damaged: "
            "load it where you trust it and save its tensors alone, with torch 1.6 or newer"
        ) from fault
    except Exception as fault:
        first = str(fault).partition("\n")[0]
        raise ValueError(
            f"{path} cannot be read ({type(fault).__name__}: {shown(first)}); "
            "copy or download the file again"
        ) from fault


def _stand_in(name: str) -> type:
    """A class that torch's reader takes for the one that a file names."""
    module, _, last = name.rpartition(".")
    base = _Dict if name == "collections.defaultdict" else _Inert
    return type(last, (base,), {"__module__": module})


class _Inert:
    """Takes whatever a file gives to an object, and does nothing."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Dict:
    """Makes plain dictionaries, the only ones that torch's reader fills."""

    def __new__(cls, *_: object) -> dict[object, object]:  # type: ignore[misc]  # on purpose
        return {}
