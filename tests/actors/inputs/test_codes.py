"""Codes of every kind and every lie; the zoo holds more of them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.inputs import codes
from actors.inputs.codes import load_codes
from actors.storage.addresses import AddressPolicy
from tests.support.damage import damaged
from tests.zoo.pt_files import repacked, saved
from uniaudio2.errors import BadRow


def kind_of(row: dict[str, Any]) -> str:
    with pytest.raises(BadRow) as caught:
        load_codes(row)
    return caught.value.kind


@pytest.mark.parametrize("number", [1.5, 1.0, True, "1", None, float("nan")])
def test_only_integers_are_codes(number: object) -> None:
    assert kind_of({"recon_codes": [[number] * 8]}) == "bad_codes"


def test_codes_as_json_text() -> None:
    found = load_codes({"recon_codes": "[[1,2,3,4,5,6,7,8]]", "reason_codes": " "})
    assert found.recon.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert len(found.reason) == 0
    assert kind_of({"recon_codes": "[" * 50_000}) == "bad_codes"


def test_long_cells_are_refused_before_they_become_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MAX_FRAMES", 10)
    cell = pa.array([np.zeros((11, 8), np.uint16).tolist()])[0]
    monkeypatch.setattr(codes, "plain_value", lambda _: pytest.fail("it was converted"))
    assert kind_of({"recon_codes": cell}) == "too_long"


def test_a_small_file_cannot_claim_a_long_tensor(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(saved(torch.zeros(1, dtype=torch.int64).expand(8, 2_000_000)))
    assert kind_of({"recon_path": str(path)}) == "too_long"


def test_a_pickle_that_asks_for_memory_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    inside = b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R."  # bytearray(2 GiB)
    path.write_bytes(repacked(saved(torch.zeros(8, 3, dtype=torch.int64)), inside))
    assert kind_of({"recon_path": str(path)}) == "bad_codes"


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    data = saved(torch.zeros(8, 3, dtype=torch.int64))
    path.write_bytes(repacked(data, squeeze=True, **{"archive/data/9": bytes(10_000_000)}))
    assert kind_of({"recon_path": str(path)}) == "too_large"


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.bool])
def test_tensors_of_other_kinds(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save(torch.zeros(8, 3).to(kind), tmp_path / "a.pt")
    assert kind_of({"recon_path": str(tmp_path / "a.pt")}) == "bad_codes"


def test_relative_pairs_start_at_the_manifest(tmp_path: Path) -> None:
    torch.save(torch.zeros(8, 3, dtype=torch.int64), tmp_path / "a.pt")
    assert load_codes({"recon_path": "a.pt"}, AddressPolicy(str(tmp_path))).recon.shape == (3, 8)


GOOD_PT = [
    saved(torch.arange(8 * frames).reshape(8, frames).to(kind))
    for frames, kind in ((3, torch.int64), (50, torch.int32), (5, torch.uint16))
]


@given(data=st.sampled_from(GOOD_PT).flatmap(damaged))
@settings(deadline=None, max_examples=300, derandomize=True)
def test_a_damaged_file_is_codes_or_a_bad_row(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(data)
    try:
        found = load_codes({"recon_path": str(path)})
    except BadRow as fault:
        assert fault.kind in ("bad_codes", "missing_value", "too_long", "too_large")
        return
    assert found.recon.shape[1] == 8
    assert 0 <= found.recon.min() <= found.recon.max() <= 65535


def test_a_file_of_codes_that_trickles_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/a.pt"
        policy = AddressPolicy("/data", (uri,))
        with pytest.raises(BadRow) as caught:
            load_codes({"recon_path": uri}, policy, timeout_s=0.4)
    assert caught.value.kind == "fetch_timeout"
