"""Long files, sorted without holding them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.storage.object_store import Storage
from pipelines.export.spool import SortedSpool


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))))
@settings(deadline=None, max_examples=40)
def test_lines_come_sorted_by_bytes_and_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    spool = SortedSpool(Storage(str(folder)), "text", run_lines=3)
    for line in lines:
        spool.write(line)
    spool.close()
    expected = sorted({line.encode() + b"\n" for line in lines})
    path = folder / "text"
    assert path.exists() == bool(lines)
    assert not lines or path.read_bytes() == b"".join(expected)


def test_a_long_file_on_s3(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * (6 << 20))
    storage = Storage(bucket)
    storage.put_file("a/b", tmp_path / "x")
    assert storage.read("a/b") == b"x" * (6 << 20)
