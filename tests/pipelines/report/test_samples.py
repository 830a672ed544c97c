"""Sounds of a sample: shown as far as there is room, and never in the way of the rest."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.stages.part_file import parquet_bytes
from actors.storage.object_store import Storage
from pipelines.report.samples import SHOWN_S, Gallery, _is_shown, unit_of
from pipelines.run_state.parts import table_around
from tests.conftest import tone, wav_bytes


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(Storage(str(tmp_path)), [f"{tmp_path}/m.jsonl"], {}, "text", ("audio",))


def test_a_long_sound_is_cut(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(wav_bytes(tone(SHOWN_S + 2)))
    sound = gallery._sound_in({"audio": "long.wav"}, 0)
    assert sound.duration_s == pytest.approx(SHOWN_S + 2)
    assert sound.note == "the first 10 s"
    assert sound.player.startswith("data:audio/flac;base64,")


def test_a_span_is_shown_as_the_model_heard_it(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(2)))
    sound = gallery._sound_in({"audio": "a.wav", "start_s": 0.5, "end_s": 1.25}, 0)
    assert sound.duration_s == pytest.approx(0.75)


def test_columns_that_are_not_shown_are_not_read(gallery: Gallery) -> None:
    path = "data/part-00000000-aaaaaaaa.parquet"
    table = pa.table({"id": ["a"], "text": ["x"], "audio_path": ["a.flac"], "note": ["n"]})
    gallery.storage.put(path, parquet_bytes(table))
    table, _ = table_around(gallery._part(path)[0], path, 0, _is_shown)
    assert table.column_names == ["id", "text", "audio_path"]


def test_when_the_room_is_used_up_pictures_remain(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.5)))
    gallery._left = 0
    sound = gallery._sound_in({"audio": "a.wav"}, 0)
    assert (sound.player, sound.note) == ("", "no player, to keep this page small")
    assert sound.wave
    assert sound.spectrogram


@pytest.mark.parametrize(
    "row", [{"audio": "gone.wav"}, {"audio": "m.jsonl"}, {"audio": "/dev/zero"}, {"audio": None}]
)
def test_a_sound_that_is_not_to_be_had_is_a_note(
    gallery: Gallery, tmp_path: Path, row: dict[str, str | None]
) -> None:
    (tmp_path / "m.jsonl").write_text("{}")
    sound = gallery._sound_in({"id": "x", **row}, 3)
    assert sound.duration_s is None
    assert sound.note.startswith("not available: ")


def test_a_part_names_its_unit() -> None:
    path, rows = "data/part-00000123-0a1b2c3d.parquet", pa.table({"id": ["a", "b", "c"]})
    assert unit_of(path, parquet_bytes(rows), 1) == 123
    merged = parquet_bytes(rows, [(7, 1), (9, 2)])
    assert [unit_of(path, merged, row) for row in range(3)] == [7, 9, 9]
