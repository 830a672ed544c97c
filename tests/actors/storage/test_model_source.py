"""Every way in which a job may name its model leads to a folder of this node."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage.model_source import local_model, needed_files
from actors.storage.object_store import Storage
from tests.uniaudio2.checkpoint.published_folder import recorded, write_base, write_published
from uniaudio2 import UniAudio2
from uniaudio2.checkpoint.folders import BUNDLED, load_config


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def upload(folder: Path, uri: str) -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            Storage(uri).put(path.relative_to(folder).as_posix(), path.read_bytes())
    return uri


def test_names_and_own_folders_stay_what_they_are(cache: Path) -> None:
    assert local_model("nano") == "nano"
    assert local_model(str(BUNDLED / "tiny")) == str(BUNDLED / "tiny")
    assert local_model("absent") == "absent"  # loading says what is wrong with it
    assert not cache.exists()


def test_a_model_on_s3(bucket: str, cache: Path) -> None:
    uri = upload(BUNDLED / "tiny", f"{bucket}/tiny")
    folder = Path(local_model(uri, weights=False))
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert sorted(names) == ["README.md", "config.json", "tokenizer.json"]
    assert load_config(folder) == load_config(BUNDLED / "tiny")
    assert local_model(uri) == str(folder)
    UniAudio2.load(str(folder))
    with pytest.raises(ValueError, match="holds no files"):
        local_model(f"{bucket}/nothing")


def test_a_published_folder_is_converted_once(tmp_path: Path, bucket: str, cache: Path) -> None:
    source = recorded("full_rate")
    published = write_published(tmp_path / "ckpt", source)
    write_base(published, source.base())
    ours = local_model(str(published), weights=False)
    assert Path(ours).is_relative_to(cache)
    made = (Path(ours) / "config.json").stat().st_mtime_ns
    assert local_model(str(published)) == ours
    assert (Path(ours) / "config.json").stat().st_mtime_ns == made
    UniAudio2.load(ours)
    again = local_model(upload(published, f"{bucket}/ckpt"))
    assert again != ours
    assert load_config(Path(again)) == load_config(Path(ours))
    (published / "llm_config.yaml").touch()
    assert local_model(str(published)) != ours


def test_copies_for_other_frameworks_stay_where_they_are() -> None:
    names = ["a/model.safetensors", "a/pytorch_model.bin", "a/model.h5", "b/pytorch_model.bin"]
    assert needed_files(names) == ["a/model.safetensors", "b/pytorch_model.bin"]
