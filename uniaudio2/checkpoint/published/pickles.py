"""Tensors of torch files, read without running anything that a file names.

torch's own safe reader comes first. It refuses files that also hold objects of foreign classes,
as training frameworks store their settings beside the weights; those are read here: containers,
numbers, texts and tensors are rebuilt, and whatever else a file names becomes a `Foreign`, which
does nothing. No module is imported and no callable of the file's choice is called.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

_ZIP_START = b"PK\x03\x04"
_PICKLE = "/data.pkl"
_LOCAL_HEADER_BYTES = 30  # of a zip member, before its name and its extra field
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_tensors(path: Path, entry: str | None) -> dict[str, Tensor]:
    """Read the named tensors of a torch file, memory-mapped where the file allows it.

    Args:
        path: a file of ``torch.save``: in its zip format, or in the older one, which is then read
            into memory and may hold nothing but tensors, containers, numbers and texts.
        entry: the key below which the tensors lie; None where the file is the mapping itself.

    Returns:
        Names to tensors on the CPU, of the stored dtypes. What is no tensor is left out.

    Raises:
        ValueError: the file is damaged, names classes in the older format, or has no such entry.
    """
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP_START)) == _ZIP_START
    content = _read(path) if is_zip else _read_older(path)
    found = content if entry is None else _member(content, entry, path)
    if not isinstance(found, Mapping):
        raise ValueError(
            f"{path} holds a {type(found).__name__} where names and tensors are needed; "
            "check that it is the published file"
        )
    return {
        name: tensor.as_subclass(Tensor)
        for name, tensor in found.items()
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }


def _member(content: object, entry: str, path: Path) -> object:
    if isinstance(content, Mapping) and entry in content:
        return content[entry]
    there = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise ValueError(
        f"{path} has no entry {entry!r}, it holds {there}; check that it is the published file"
    )


def _read(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        pass  # it names classes beyond torch's own list
    except Exception as fault:
        raise _damaged(path, fault) from fault
    try:
        return _read_inert(path)
    except Exception as fault:
        raise _damaged(path, fault) from fault


def _read_older(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        raise ValueError(
            f"{path} is no torch zip file, and as one from before torch 1.6 it holds more than "
            "weights or is damaged: load it where you trust it and save it again with a newer torch"
        ) from fault


def _damaged(path: Path, fault: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read ({fault}); copy or download the file again")


def _read_inert(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        records = _Records(path, archive)
        with archive.open(records.root + _PICKLE) as file:
            return _InertUnpickler(file, records).load()


class Foreign:
    """Stands for an object whose class is not rebuilt: takes everything, does nothing."""

    def __new__(cls, *_: object, **__: object) -> Foreign:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    @staticmethod
    def _nothing(*_: object) -> None:
        """Serves classes as well as instances: a file may address either."""

    # every way in which an unpickler addresses an object that it has made
    __setstate__ = append = extend = add = __setitem__ = _nothing

    def __call__(self, *_: object, **__: object) -> Foreign:
        return Foreign()


class _Known:
    """A callable that files may call and can neither change nor subclass."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *given: object) -> object:
        return self._make(*given)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the file tries to change a function")


class _Names(dict[Any, Any]):
    """An ordered mapping of a state dict, whose attributes are dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Numbers:
    """A storage: one record of the archive, seen as numbers ``[N]`` of one kind."""

    __slots__ = ("values",)

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the file tries to change a storage")


class _Sealed(Tensor):
    """A tensor on its way out of the file, which the file can no longer give a state."""

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the file tries to change a tensor")


class _Records:
    """The records of a torch zip file, memory-mapped.

    Args:
        path: the file.
        archive: the same file, opened.

    Raises:
        ValueError: no pickle in it, or numbers of another byte order.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive
        roots = [name.removesuffix(_PICKLE) for name in archive.namelist() if _is_pickle(name)]
        if len(roots) != 1:
            raise ValueError(f"{len(roots)} pickles in it, where one is needed")
        (self.root,) = roots
        order = f"{self.root}/byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are not little-endian")

    @cached_property
    def _bytes(self) -> Tensor:
        size = self.path.stat().st_size
        return torch.from_file(str(self.path), shared=False, size=size, dtype=torch.uint8)

    def numbers(self, key: str, dtype: torch.dtype) -> Tensor:
        """All numbers of a record, ``[N]``."""
        member = self.archive.getinfo(f"{self.root}/data/{key}")
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"record {key} is compressed")
        with self.path.open("rb") as file:
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER_BYTES)
        names = (header[26:28], header[28:30])  # lengths of name and extra field
        start = member.header_offset + _LOCAL_HEADER_BYTES
        start += sum(int.from_bytes(length, "little") for length in names)
        raw = self._bytes[start : start + member.file_size]
        if start % dtype.itemsize:
            raw = raw.clone()
        return raw.view(dtype)


def _is_pickle(name: str) -> bool:
    return name.endswith(_PICKLE) and name.count("/") == 1


class _InertUnpickler(pickle.Unpickler):
    """Rebuilds tensors and containers; every other global of the file becomes a `Foreign`."""

    def __init__(self, file: IO[bytes], records: _Records) -> None:
        super().__init__(file, encoding="utf-8")
        self._records = records

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in _REBUILT:
            return _Known(_REBUILT[module, name])
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return type("Foreign", (Foreign,), {})  # its own class, so that no file changes ours

    def persistent_load(self, reference: object) -> _Numbers:
        match reference:
            case ("storage", torch.dtype() as dtype, str(key), _, int()):
                return _Numbers(self._records.numbers(key, dtype))
        raise pickle.UnpicklingError(f"unknown reference of type {type(reference).__name__}")


def _tensor(numbers: object, offset: int, size: tuple[int, ...], stride: tuple[int, ...],
            *_: object) -> Tensor:  # fmt: skip
    """What torch's own ``_rebuild_tensor_v2`` makes; hooks and gradients are left out."""
    if not isinstance(numbers, _Numbers):
        raise pickle.UnpicklingError("a tensor without a storage")
    values = numbers.values
    reach = sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    empty = 0 in size
    if offset < 0 or min((*size, *stride), default=0) < 0:
        raise pickle.UnpicklingError("a tensor with negative sizes")
    if offset + (0 if empty else reach + 1) > len(values):
        raise pickle.UnpicklingError(f"a tensor of shape {list(size)} beyond its storage")
    seen = values.as_strided(size, stride, values.storage_offset() + offset)
    return seen.as_subclass(_Sealed)


def _parameter(tensor: object, *_: object) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise pickle.UnpicklingError("a parameter without a tensor")
    return tensor


_REBUILT: Mapping[tuple[str, str], Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("collections", "OrderedDict"): _Names,
}
