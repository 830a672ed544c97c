"""What rows take is known before they are read: bytes that they hold, members, columns unread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.planning.units.row_sizes import (
    GroupSizes,
    group_sizes_of,
    held_sizes,
    member_sizes,
    row_seconds,
)


def test_bytes_that_rows_hold_are_counted() -> None:
    sounds = [b"a" * 10, None, b"b" * 5000]
    table = pa.table({
        "id": ["a", "b", "c"],
        "text": ["a" * 9000] * 3,
        "audio": [{"bytes": sound, "path": "x.wav"} for sound in sounds],
        "other": pa.array(sounds, pa.large_binary()),
        "audio_filepath": ["a.wav", "T" * 5000, None],
    })  # fmt: skip
    assert held_sizes(table).tolist() == [20, 5000, 10_000]
    samples = pa.table({"audio": [[0.5] * 100] * 4})
    assert held_sizes(samples).tolist() == [samples["audio"].nbytes // 4] * 4


def test_members_of_tars_are_counted() -> None:
    names = ["a.tar#bytes=512+700", "b.wav", None, "x#bytes=5+1000.wav", "a.tar#bytes=0+9"]
    assert member_sizes(pa.table({"audio": names})).tolist() == [700, 0, 0, 0, 9]


def test_columns_that_are_not_read_count_by_their_row_group(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    lengths = [10_000] * 10 + [50_000] * 10
    sounds = [{"bytes": draws.bytes(length), "path": None} for length in lengths]
    table = pa.table({"id": [str(n) for n in range(20)], "audio": sounds})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    sizes = group_sizes_of(str(tmp_path / "a.parquet"), "", 20, {"id"})
    found = sizes.of(0, 20)
    assert np.all(np.abs(found / lengths - 1) < 0.1)
    assert sizes.of(8, 12).tolist() == found[8:12].tolist()
    for none in (group_sizes_of(str(tmp_path / "a.parquet"), "", 20, {"id", "audio"}),
                 GroupSizes.of_nothing()):  # fmt: skip
        assert none.of(3, 5).tolist() == [0, 0]


def test_arrow_files_count_by_their_size() -> None:
    assert group_sizes_of("a.arrow", "1000:x", 10, {"id"}).of(0, 2).tolist() == [100, 100]
    assert group_sizes_of("a.arrow", "", 10, {"id"}).of(0, 2).tolist() == [0, 0]


def test_seconds_are_those_of_columns() -> None:
    table = pa.table({"start_s": [1.0, None], "end_s": [3.5, None], "duration": [None, 7.0]})
    assert row_seconds(table).tolist() == [2.5, 7.0]
