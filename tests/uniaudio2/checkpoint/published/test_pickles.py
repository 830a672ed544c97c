"""Torch files are read without running anything that they name."""

from __future__ import annotations

import argparse
import builtins
import functools
import io
import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from tests.uniaudio2.checkpoint.foreign import save_with_settings, settings_of
from uniaudio2.checkpoint.published.pickles import read_tensors


class Calls:
    """Pickles to a call of anything with anything, and then to a state for what it returned."""

    def __init__(self, function: Any, *given: Any, state: Any = None) -> None:
        self.made = (function, given) if state is None else (function, given, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made

    def __call__(self) -> None:
        """Pickle asks that what is called can be."""


def weights() -> dict[str, Tensor]:
    base = torch.arange(24, dtype=torch.float32)
    return {
        "plain": base.reshape(4, 6),
        "turned": base.reshape(4, 6).T,
        "shared": base[5:11],
        "halves": base[:15].reshape(3, 5).half() / 7,
        "brain": base[:15].reshape(3, 5).bfloat16() / 7,
        "counts": torch.tensor([1, -2, 2**40]),
        "flag": torch.tensor(True),
        "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(base[:2] / 3),
    }


def assert_equal(got: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        assert type(got[name]) is Tensor
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor.detach()), name


def test_weights_alone_and_below_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(weights(), path)
    read_tensors(path, None)
    torch.save({"model": OrderedDict(weights()), "epoch": 3}, path)
    got = read_tensors(path, "model")
    assert got.keys() == weights().keys()
    assert torch.equal(got["turned"], weights()["turned"])


def test_weights_beside_foreign_settings(tmp_path: Path) -> None:
    path, want = tmp_path / "ssl.pt", weights()
    state = OrderedDict(want)
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    save_with_settings(path, lambda make: {"model": state, **settings_of(make)})
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    with pytest.raises(ModuleNotFoundError):
        torch.load(path, weights_only=False)
    assert_equal(read_tensors(path, "model"), want)


def hostile(mark: Path) -> dict[str, Any]:
    """Payloads that leave `mark` behind when anything of theirs runs."""
    command = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w')"
    return {
        "system": Calls(os.system, command),
        "eval": Calls(builtins.eval, code),
        "path": Calls(Path.touch, mark),
        "partial": Calls(functools.partial, os.system, command),
        "map": Calls(list, Calls(map, os.system, [command])),
        "getattr": Calls(Calls(getattr, mark, "touch")),
        "state": Calls(functools.partial, os.system, state=(os.system, (command,), {}, None)),
        "load": Calls(pickle.loads, pickle.dumps(Calls(os.system, command))),
        "torch": Calls(torch.hub.load_state_dict_from_url, "file://" + str(mark)),
    }


# calls of what another call returned, and of modules that torch never allows
REFUSED = {"system", "path", "partial", "map", "getattr", "state"}


@pytest.mark.parametrize("name", sorted(hostile(Path("/nowhere"))))
@pytest.mark.parametrize("hidden", [False, True], ids=["bare", "in_settings"])
def test_nothing_of_the_file_runs(tmp_path: Path, name: str, hidden: bool) -> None:
    path, mark = tmp_path / "hostile.pt", tmp_path / "mark"
    payload = hostile(mark)[name]
    if hidden:
        save_with_settings(path, lambda make: {"model": weights(), "cfg": make(inner=[payload])})
    else:
        torch.save({"cfg": payload, "model": weights()}, path)
    try:
        assert_equal(read_tensors(path, "model"), weights())
    except ValueError as refused:
        assert "\n" not in str(refused)
        assert name in REFUSED
    assert not mark.exists()


def test_the_hostile_payloads_do_run_elsewhere(tmp_path: Path) -> None:
    path, mark = tmp_path / "hostile.pt", tmp_path / "mark"
    for name in ("system", "eval", "path"):
        torch.save({"cfg": hostile(mark)[name]}, path)
        torch.load(path, weights_only=False)
        assert mark.exists(), name
        mark.unlink()


def assemble(path: Path, program: bytes, record: bytes = bytes(16)) -> Path:
    """A torch file with a pickle program of our own and one record of four floats."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", record)
        archive.writestr("archive/version", "3\n")
    return path


STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
)


def tensor_program(offset: bytes, size: bytes, stride: bytes, after: bytes = b"") -> bytes:
    """A foreign global, so that torch refuses, and one tensor named ``a``."""
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n("
    arguments = STORAGE + offset + size + stride + b"\x89" + b"}" + b"t"
    foreign = b"X\x01\x00\x00\x00zcnowhere\nThing\n)Rs"
    return (
        b"\x80\x02}" + foreign + b"X\x01\x00\x00\x00a" + rebuilt + arguments + b"R" + after + b"s."
    )


def test_programs_of_our_own_are_read(tmp_path: Path) -> None:
    program = tensor_program(b"K\x00", b"K\x04\x85", b"K\x01\x85")
    record = torch.tensor([1.0, 2.0, 3.0, 4.0]).numpy().tobytes()
    got = read_tensors(assemble(tmp_path / "own.pt", program, record), None)
    assert got["a"].tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "program",
    [
        tensor_program(b"K\x01", b"K\x04\x85", b"K\x01\x85"),  # beyond its storage
        tensor_program(b"K\x00", b"K\x02\x85", b"K\x04\x85"),
        tensor_program(b"K\x00", b"J\xff\xff\xff\x7f\x85", b"K\x01\x85"),
        tensor_program(b"K\x00", b"J\xff\xff\xff\x7f\x85", b"K\x01\x85").replace(
            STORAGE, STORAGE.replace(b"K\x04", b"J\xff\xff\xff\x7f")
        ),
        tensor_program(b"J\xff\xff\xff\xff", b"K\x01\x85", b"K\x01\x85"),  # negative
        tensor_program(b"K\x00", b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),
        tensor_program(b"K\x00", b"K\x04\x85", b"K\x01\x85", b"K\x01b"),  # a tensor's state
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}X\x01\x00\x00\x00xK\x01stb.",
        b"\x80\x02cnowhere\nThing\n}X\x01\x00\x00\x00xK\x01sb.",  # a class's state
        b"\x80\x02cnowhere\nThing\n" + STORAGE + b"}b.",
        b"\x80\x02}X\x01\x00\x00\x00zcnowhere\nThing\nsK\x01Q.",
    ],
)
def test_malformed_programs_are_refused(tmp_path: Path, program: bytes) -> None:
    path = assemble(tmp_path / "own.pt", program)
    with pytest.raises(ValueError, match=r"own\.pt (holds|cannot be read)") as why:
        read_tensors(path, None)
    assert "\n" not in str(why.value)


def test_containers_of_other_kinds_beside_the_weights(tmp_path: Path) -> None:
    path, want = tmp_path / "model.pt", weights()
    torch.save({"model": want, "seen": defaultdict(list, {1: [2]}), "kinds": {1, 2}}, path)
    assert_equal(read_tensors(path, "model"), want)


def test_attributes_of_a_tensor_are_dropped(tmp_path: Path) -> None:
    path, tensor = tmp_path / "own.pt", torch.arange(3.0)
    tensor.as_subclass = tensor.float = 3  # type: ignore[assignment, method-assign]
    torch.save({"a": tensor}, path)
    got = read_tensors(path, None)
    assert got["a"].float().tolist() == [0.0, 1.0, 2.0]


def test_messages_hold_no_signs_of_the_file(tmp_path: Path) -> None:
    path = assemble(tmp_path / "own.pt", tensor_program(b"K\x00", b"K\x04\x85", b"K\x01\x85"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "\x1b[31m\nred")
    with pytest.raises(ValueError, match="cannot be read") as why:
        read_tensors(path, None)
    assert str(why.value).isprintable()
    torch.save({"\x1b[31mred": weights()}, path)
    with pytest.raises(ValueError, match="no entry") as why:
        read_tensors(path, "model")
    assert str(why.value).isprintable()


def test_weights_in_the_older_format_are_read(tmp_path: Path) -> None:
    path, expected = tmp_path / "file.pt", weights()
    torch.save({"model": expected, "epoch": 3}, path, _use_new_zipfile_serialization=False)
    read = read_tensors(path, "model")
    assert list(read) == list(expected)
    assert all(torch.equal(read[name], tensor) for name, tensor in expected.items())


def test_other_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    older = {"_use_new_zipfile_serialization": False}
    torch.save({"model": weights(), "args": argparse.Namespace()}, path, **older)
    with pytest.raises(ValueError, match=r"more than weights.*save its tensors alone"):
        read_tensors(path, "model")
    path.write_text("weights\n")
    with pytest.raises(ValueError, match=r"is damaged"):
        read_tensors(path, "model")
    torch.save({"other": weights()}, path)
    with pytest.raises(ValueError, match=r"no entry 'model', it holds \[other\]"):
        read_tensors(path, "model")
    torch.save({"model": 3}, path)
    with pytest.raises(ValueError, match="holds a int where names and tensors"):
        read_tensors(path, "model")
    whole = io.BytesIO()
    torch.save({"model": weights()}, whole)
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ValueError, match="copy or download the file again"):
        read_tensors(path, "model")


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    program = tensor_program(b"K\x00", b"K\x04\x85", b"K\x01\x85")
    record = numpy.array([1, 2, 3, 4], ">f4").tobytes()
    path = assemble(tmp_path / "own.pt", program, record)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    assert read_tensors(path, None)["a"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert path.read_bytes().count(record) == 1  # the file stays as it is
