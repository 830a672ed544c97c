from __future__ import annotations

import pyarrow as pa
import torch

from actors.batch.schema import LEVELS_TYPE
from actors.timing.heard_levels import HeardLevels, read_levels
from uniaudio2.timing.levels import packed_levels


def test_levels_travel_as_a_column() -> None:
    clips = [torch.randn(1000), torch.randn(24_000)]
    heard = HeardLevels(True)
    assert list(heard.listen(1, iter(clips))) == clips
    table = heard.write(pa.table({"id": ["a", "b"]}))
    assert table.schema.field("levels").type == LEVELS_TYPE
    assert read_levels(table, 0) is None
    levels = read_levels(table, 1)
    assert levels is not None
    assert levels.tolist() == [one for clip in clips for one in packed_levels(clip).tolist()]


def test_where_no_times_are_asked_for_nothing_is_listened_to() -> None:
    heard = HeardLevels(False)
    assert len(list(heard.listen(0, [torch.zeros(5)]))) == 1
    table = heard.write(pa.table({"id": ["a"]}))
    assert table.column_names == ["id"]
    assert read_levels(table, 0) is None
