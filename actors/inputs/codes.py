"""Codes that a row brings: as columns, or as the files of a published pair."""

from __future__ import annotations

import io
import json
import pickletools
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.batch.names import CODE_PATHS, REASON_CODES, RECON_CODES
from actors.columnar.cells import plain_value
from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import TIMEOUT_S, fetch, looked_for
from uniaudio2.config import CODEBOOKS
from uniaudio2.errors import BadRow
from uniaudio2.lazily import torch
from uniaudio2.tokens.codes import Codes

if TYPE_CHECKING:
    from torch import Tensor

MAX_FRAMES = 1_000_000  # 22 hours of reconstruction codes
_MAX_FILE_BYTES = MAX_FRAMES * CODEBOOKS * 8 + (1 << 20)
_MAX_PICKLE_BYTES = 1 << 16
_FORBIDDEN = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "BYTEARRAY8")
_TENSOR_GLOBALS = {
    "torch._utils _rebuild_tensor_v2",
    "collections OrderedDict",
    "torch LongStorage",
    "torch IntStorage",
    "torch ShortStorage",
    "torch CharStorage",
    "torch ByteStorage",
}
# How torch writes a tensor of a kind that its older readers do not know; the names and the order
# of all instructions are fixed, because one of the names could also be called for any memory.
_UINT16_GLOBALS = [
    "torch._utils _rebuild_tensor_v3",
    "torch.storage UntypedStorage",
    "collections OrderedDict",
    "torch uint16",
]
_UINT16_OPCODES = (
    "PROTO GLOBAL MARK MARK BINUNICODE GLOBAL BINUNICODE BINUNICODE INT TUPLE BINPERSID INT INT "
    "INT TUPLE2 INT INT TUPLE2 NEWFALSE GLOBAL EMPTY_TUPLE REDUCE GLOBAL TUPLE REDUCE STOP"
).split()


def has_codes(row: Mapping[str, Any]) -> bool:
    """Tell whether a row brings reconstruction codes; values may still be Arrow cells."""
    names = (RECON_CODES, CODE_PATHS[RECON_CODES])
    return any(_is_given(row.get(name)) for name in names)


def _is_given(value: Any) -> bool:
    if isinstance(value, pa.ListScalar):
        return bool(value.is_valid) and len(value) > 0
    if isinstance(value, pa.Scalar):
        value = plain_value(value)
    return value is not None and not (isinstance(value, str) and not value.strip())


def load_codes(
    row: Mapping[str, Any],
    policy: AddressPolicy = AddressPolicy(),  # noqa: B008 - frozen
    timeout_s: float = TIMEOUT_S,
) -> Codes:
    """The codes of a row.

    Args:
        row: a manifest row; values may still be Arrow cells.
        policy: where the manifest is, and what it may name.
        timeout_s: longest time for a file.

    Raises:
        BadRow: `missing_value`, `bad_codes`, `too_long`, or what `fetch` finds.
    """
    found: dict[str, Tensor] = {}
    for name, path_column in CODE_PATHS.items():
        value = _unpacked(row.get(name), name)
        path = row.get(path_column)
        if value is not None:
            found[name] = _codes_tensor(value, name)
        elif path is not None:
            uri = resolve(str(path), policy.base)
            with looked_for(str(path), policy):
                found[name] = _codes_file(uri, name, policy, timeout_s)
    if len(found.get(RECON_CODES, ())) == 0:
        raise BadRow("missing_value", "'recon_codes' is null or empty; give at least one frame")
    return Codes(found.get(REASON_CODES, Codes.empty().reason), found[RECON_CODES])


def _unpacked(value: Any, name: str) -> Any:
    """A cell as nested lists; text is read as JSON, as CSV and mixed columns bring it."""
    if isinstance(value, pa.ListScalar) and value.is_valid:
        flat = value.values
        while pa.types.is_list(flat.type) or pa.types.is_fixed_size_list(flat.type):
            flat = flat.flatten()
        _check_length(len(flat), name)
    if isinstance(value, pa.Scalar):
        value = plain_value(value)
    if not isinstance(value, str):
        return value
    _check_length(len(value) // 2, name)
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError) as fault:
        raise BadRow(
            "bad_codes", f"{name} is the text {value[:40]!r}; expected [T][8] integers"
        ) from fault


def _check_length(numbers: int, name: str) -> None:
    if numbers > MAX_FRAMES * CODEBOOKS:
        raise BadRow(
            "too_long", f"{name} has {numbers} numbers; at most {MAX_FRAMES} frames a row; cut it"
        )


def _codes_tensor(value: Any, name: str) -> Tensor:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as fault:
        raise BadRow("bad_codes", f"{name}: {fault}; expected [T][8] integers") from fault
    if array.size == 0:
        return Codes.empty().recon
    if array.ndim != 2 or array.shape[1] != CODEBOOKS:
        raise BadRow(
            "bad_codes", f"{name} has shape {array.shape}; expected [T, {CODEBOOKS}], time first"
        )
    if array.dtype.kind not in "iu":
        raise BadRow("bad_codes", f"{name} holds {array.dtype}; expected [T][8] integers")
    _check_length(array.size, name)
    if array.min() < 0 or array.max() > np.iinfo(np.uint16).max:
        raise BadRow("bad_codes", f"{name} has values {array.min()}..{array.max()}; 0..65535 fit")
    return torch.from_numpy(array.astype(np.int64))  # [T, 8]


def _codes_file(uri: str, name: str, policy: AddressPolicy, timeout_s: float) -> Tensor:
    """A published ``*_reason.pt`` or ``*_semantic.pt`` file, ``(8, T)`` or ``(T, 8)``."""
    data = fetch(uri, _MAX_FILE_BYTES, policy, timeout_s)
    try:
        _check_archive(data)
        tensor = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except BadRow:
        raise
    except Exception as fault:
        raise BadRow(
            "bad_codes", f"{uri}: {type(fault).__name__}; expected a plain integer tensor"
        ) from fault
    if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2 or CODEBOOKS not in tensor.shape:
        raise BadRow("bad_codes", f"{uri} holds no (8, T) or (T, 8) tensor")
    if tuple(tensor.shape) == (CODEBOOKS, CODEBOOKS):
        raise BadRow(
            "bad_codes", f"{uri} is (8, 8): time and codebooks cannot be told apart; use Parquet"
        )
    _check_length(tensor.numel(), name)  # strides of 0 let a small file claim any shape
    return _codes_tensor((tensor.T if tensor.shape[0] == CODEBOOKS else tensor).numpy(), name)


def _check_archive(data: bytes) -> None:
    """Refuse whatever `torch.save` of one integer tensor would not write.

    torch's own safe reader still lets a file ask for any amount of memory.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > max(len(data), _MAX_PICKLE_BYTES):
            raise BadRow("too_large", "the .pt file unpacks to more than it holds; save it again")
        pickles = [member for member in members if member.filename.endswith("data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE_BYTES:
            raise ValueError("no single small pickle")
        _check_pickle(archive.read(pickles[0]))


def _check_pickle(data: bytes) -> None:
    opcodes = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(data)]
    names = [argument for opcode, argument in opcodes if opcode == "GLOBAL"]
    if names == _UINT16_GLOBALS:
        kinds = ["INT" if name.startswith(("BININT", "LONG")) else name for name, _ in opcodes]
        if [name for name in kinds if "PUT" not in name] != _UINT16_OPCODES:
            raise ValueError("not as torch writes a tensor")
        return
    for opcode, argument in opcodes:
        if opcode in _FORBIDDEN:
            raise ValueError(opcode)
        if opcode == "GLOBAL" and argument not in _TENSOR_GLOBALS:
            raise ValueError(str(argument))
