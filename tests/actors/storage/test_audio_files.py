"""Both layouts of generated audio hold the same files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from actors.storage.audio_files import AudioLayout, audio_objects, read_sound, tar_bytes
from actors.storage.object_store import Storage
from uniaudio2.errors import BadRow

SOUNDS = {"a.flac": b"one", "ü" * 60 + ".flac": b"two"}


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_every_sound_is_found_by_its_path(tmp_path: Path, layout: AudioLayout) -> None:
    storage = Storage(str(tmp_path))
    folder, objects = audio_objects("00000007-abcd", SOUNDS, layout)
    for path, data in objects.items():
        storage.put(path, data)
    assert len(objects) == (1 if layout == "tar" else 2)
    for name, data in SOUNDS.items():
        assert read_sound(storage, f"{folder}/{name}") == data


def test_equal_sounds_make_equal_tars() -> None:
    assert tar_bytes(SOUNDS) == tar_bytes(dict(SOUNDS))


def test_a_unit_without_sound_makes_no_object() -> None:
    assert audio_objects("00000007-abcd", {}, "tar")[1] == {}


def special_tar() -> bytes:
    """A tar of a link, a device, a sparse file that claims a terabyte, and a file."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in (("link", tarfile.SYMTYPE), ("device", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        sparse = tarfile.TarInfo("sparse")
        sparse.pax_headers = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": f"0,0,{1 << 40},0"}
        tar.addfile(sparse)
        plain = tarfile.TarInfo("plain.flac")
        plain.size = 3
        tar.addfile(plain, io.BytesIO(b"abc"))
    return sink.getvalue()


@pytest.mark.parametrize("member", ["link", "device", "sparse", "nothing", "../x"])
def test_only_plain_files_of_a_tar_are_read(tmp_path: Path, member: str) -> None:
    storage = Storage(str(tmp_path))
    storage.put("audio/u.tar", special_tar())
    with pytest.raises(BadRow, match="no such member") as error:
        read_sound(storage, f"audio/u.tar/{member}")
    assert error.value.kind == "missing_file"
    assert read_sound(storage, "audio/u.tar/plain.flac") == b"abc"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("link.flac", "is a link"),
        ("link.tar/a.flac", "is a link"),
        ("../secret", "would leave"),
        ("/etc/passwd", "would leave"),
        ("gone.flac", "nothing is there"),
        ("text.tar/a.flac", "is no whole tar"),
    ],
)
def test_a_path_that_names_no_sound_of_this_output_is_a_bad_row(
    tmp_path: Path, path: str, words: str
) -> None:
    (tmp_path / "secret").write_text("the secret line")
    out = tmp_path / "out"
    out.mkdir()
    (out / "link.flac").symlink_to(tmp_path / "secret")
    (out / "link.tar").symlink_to(tmp_path / "secret")
    (out / "text.tar").write_text("the secret line")
    with pytest.raises(BadRow, match=words) as error:
        read_sound(Storage(str(out)), path)
    assert "secret line" not in error.value.message
