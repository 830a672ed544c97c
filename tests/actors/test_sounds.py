"""Both layouts of generated audio hold the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.sounds import AudioLayout, lay_out, read_sound, tar_bytes
from actors.storage import Storage

SOUNDS = {"a.flac": b"one", "ü" * 60 + ".flac": b"two"}


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_every_sound_is_found_by_its_path(tmp_path: Path, layout: AudioLayout) -> None:
    storage = Storage(str(tmp_path))
    folder, objects = lay_out("00000007-abcd", SOUNDS, layout)
    for path, data in objects.items():
        storage.put(path, data)
    assert len(objects) == (1 if layout == "tar" else 2)
    for name, data in SOUNDS.items():
        assert read_sound(storage, f"{folder}/{name}") == data


def test_equal_sounds_make_equal_tars() -> None:
    assert tar_bytes(SOUNDS) == tar_bytes(dict(SOUNDS))


def test_a_unit_without_sound_makes_no_object() -> None:
    assert lay_out("00000007-abcd", {}, "tar")[1] == {}
