"""Files of ``torch.save``, good, wrong and hostile."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import torch

BAD = frozenset({"bad_codes"})
OK = frozenset({"ok"})


def saved(value: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def repacked(data: bytes, pickled: bytes | None = None, squeeze: bool = False, **more: bytes
) -> bytes:  # fmt: skip
    """A torch file with another pickle in it, compressed, or with more members."""
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", kind) as new:
        for member in old.infolist():
            is_pickle = member.filename.endswith("data.pkl") and pickled is not None
            new.writestr(member.filename, pickled if is_pickle else old.read(member))
        for name, content in more.items():
            new.writestr(name, content)
    return buffer.getvalue()


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.call = (function, given)

    def __reduce__(self) -> Any:
        return self.call


# the names of an unsigned tensor, in their order, but the storage is called for memory
_UNSIGNED_CALL = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v3\nctorch.storage\nUntypedStorage\n"
    b"J\x00\x00\x00\x7f\x85R0ccollections\nOrderedDict\nctorch\nuint16\n."
)


def pt_files() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Name, contents and acceptable outcomes of every file."""
    good = torch.arange(24).reshape(8, 3)
    data = saved(good)
    yield "good", data, OK
    yield "good-int32", saved(good.T.contiguous().int()), OK
    for kind in (torch.int16, torch.uint16, torch.uint8):
        yield f"good-{kind}", saved(good.to(kind)), OK
        yield f"good-{kind}-turned", saved(good.T.contiguous().to(kind)), OK
    yield "good-view", saved(good[:, ::2]), OK
    for name, tensor in {
        "float": good.float(), "bool": good.bool(), "bfloat16": good.bfloat16(),
        "complex": good.to(torch.complex64), "one-axis": good[0], "three-axes": good[None],
        "seven": good[:7], "square": torch.zeros(8, 8, dtype=torch.int64),
        "negative": -good - 1, "large": good + 70_000, "sparse": good.to_sparse(),
        "meta": good.to("meta"), "gradient": good.float().requires_grad_(),
        "parameter": torch.nn.Parameter(good.float()),
    }.items():  # fmt: skip
        yield name, saved(tensor), BAD
    yield "empty", saved(torch.zeros(8, 0, dtype=torch.int64)), frozenset({"missing_value"})
    one = torch.zeros(1, dtype=torch.int64)
    yield "claims-all", saved(one.expand(8, 2**40)), frozenset({"too_long", "bad_codes"})
    yield "claims-much", saved(one.expand(8, 2_000_000)), frozenset({"too_long"})
    for name, value in {"dict": {"codes": good}, "list": [good], "text": "codes", "none": None,
                        "number": 5, "tuple": (good, good)}.items():  # fmt: skip
        yield name, saved(value), BAD
    for name, value in {
        "runs-code": _Call(eval, "open('/tmp/zoo-was-here', 'w')"),
        "runs-shell": _Call(__import__("os").system, "touch /tmp/zoo-was-here"),
        "eats-memory": _Call(bytearray, 1 << 40),
        "makes-storage": _Call(torch.UntypedStorage, 1 << 40),
    }.items():
        yield name, saved(value), BAD
        yield f"{name}-bare", pickle.dumps(value), BAD
        yield f"{name}-inside", repacked(data, pickle.dumps(value)), BAD
        yield f"{name}-old", saved(value, _use_new_zipfile_serialization=False), BAD
    unsigned = saved(good.to(torch.uint16))
    yield "unsigned-large", saved(torch.full((8, 3), 65_535).to(torch.uint16)), OK
    yield "unsigned-with-a-call", repacked(unsigned, _UNSIGNED_CALL), BAD
    yield "old-format", saved(good, _use_new_zipfile_serialization=False), BAD
    yield "squeezed", repacked(data, squeeze=True), OK | BAD | {"too_large"}
    bomb = repacked(data, squeeze=True, **{"archive/data/9": bytes(50_000_000)})
    yield "bomb", bomb, frozenset({"too_large"})
    yield (
        "long-pickle",
        repacked(data, b"\x80\x02" + b"N0" * 1_000_000 + b"N."),
        BAD | {"too_large"},
    )
    yield "broken-pickle", repacked(data, b"\x80\x02garbage"), BAD
    yield "no-pickle", repacked(data, b""), BAD
    for part in (0.1, 0.5, 0.9, 0.99):
        yield f"cut-{part}", data[: int(len(data) * part)], BAD
    yield "nothing", b"", BAD
    yield "text-file", b"codes\n", BAD
