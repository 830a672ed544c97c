"""What is kept between stages is read inside OUTPUT alone, and no addresses are taken from it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.intermediate_store import kept_path, read_kept
from actors.batch.unit import to_stream
from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage

TABLE = pa.table(
    {
        "unit": [7],
        "row": pa.array([None], pa.int64()),
        "fingerprint": ["f" * 32],
        "source": [{"uri": "/etc/passwd"}],
    }
)


def test_no_address_is_taken_from_what_was_kept(tmp_path: Path) -> None:
    storage, path = Storage(str(tmp_path)), kept_path(7, "f" * 32)
    storage.put(path, to_stream(TABLE))
    kept = read_kept(storage.uri(path), None)
    assert kept["source"].to_pylist() == [None]
    assert kept["unit"].to_pylist() == [7]


def test_what_was_kept_is_read_through_no_link(tmp_path: Path) -> None:
    path = kept_path(7, "f" * 32)
    (tmp_path / "there.arrow").write_bytes(to_stream(TABLE))
    (tmp_path / "out/_tokens").mkdir(parents=True)
    (tmp_path / "out" / path).symlink_to(tmp_path / "there.arrow")
    with pytest.raises(ForeignPath):
        read_kept(f"{tmp_path}/out/{path}", None)
