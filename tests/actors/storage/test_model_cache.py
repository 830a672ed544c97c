"""Folders come from S3, whole or not at all, each byte once."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage import model_cache
from actors.storage.model_cache import fetch_folder, list_folder
from actors.storage.object_store import Storage

FILES = {"config.json": b"{}", "lm.safetensors": bytes(range(256)) * 20, "tokenizer/a.json": b"[]"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(model_cache, "BLOCK_BYTES", 2000)
    return tmp_path / "cache"


@pytest.fixture
def model(bucket: str) -> str:
    for name, data in {**FILES, ".hidden": b"x", "a/b/c": b"too deep"}.items():
        Storage(bucket).put(f"models/m/{name}", data)
    Storage(bucket).put("models/m2/config.json", b"another folder")
    return f"{bucket}/models/m"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fetched(uri: str) -> Path:
    return fetch_folder(uri, list_folder(uri))


def test_a_folder_on_s3(cache: Path, model: str) -> None:
    first = fetched(model)
    assert contents(first) == FILES
    assert first.is_relative_to(cache)
    assert fetched(f"{model}/") == first
    Storage(model).put("config.json", b"[]")  # the same size, other contents
    second = fetched(model)
    assert contents(second)["config.json"] == b"[]"
    assert contents(first)["config.json"] == b"{}"


def test_only_what_is_wanted_comes(model: str) -> None:
    folder = fetch_folder(model, list_folder(model), {"config.json"}.__contains__)
    assert contents(folder) == {"config.json": b"{}"}
    assert contents(fetched(model)) == FILES


@pytest.mark.parametrize(("size", "words"), [(5119, "came as 1119 bytes"), (1000, "came as")])
def test_what_is_not_as_listed_is_refused_and_tried_anew(
    cache: Path, model: str, size: int, words: str
) -> None:
    files = list_folder(model)
    Storage(model).put("lm.safetensors", bytes(size))
    with pytest.raises(ValueError, match=words):
        fetch_folder(model, files)
    assert "lm.safetensors" not in [path.name for path in cache.rglob("*")]
    assert len(contents(fetched(model))["lm.safetensors"]) == size


def test_a_stop_repeats_no_block(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = model_cache._read_block
    calls: list[tuple[str, int]] = []

    def stopping(fs: object, path: str, start: int, stop: int, uri: str) -> bytes:
        calls.append((uri, start))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(fs, path, start, stop, uri)

    monkeypatch.setattr(model_cache, "_read_block", stopping)
    with pytest.raises(KeyboardInterrupt):
        fetched(model)
    assert contents(fetched(model)) == FILES
    assert len(calls) == len(set(calls)) + 1  # the one that was stopped


def test_what_is_absent_is_the_user_s_to_mend(bucket: str) -> None:
    with pytest.raises(ValueError, match="holds no files"):
        list_folder(f"{bucket}/nothing")
