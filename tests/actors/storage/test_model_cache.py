"""Folders come from a hub and from S3, whole or not at all, each byte once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.storage import file_systems, model_cache
from actors.storage.model_cache import cache_folder, commit_of, fetch_folder, list_folder, pinned
from actors.storage.object_store import Storage
from tests.hub import Hub, serving

FILES = {"config.json": b"{}", "lm.safetensors": bytes(range(256)) * 20, "tokenizer/a.json": b"[]"}
REPOSITORY = "hf://team/model"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(model_cache, "PIECE_BYTES", 2000)
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving("team/model", dict(FILES)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        file_systems._filesystem.cache_clear()
        yield running
    file_systems._filesystem.cache_clear()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fetched(uri: str) -> Path:
    return fetch_folder(uri, list_folder(uri))


def test_a_folder_of_a_hub_comes_once(cache: Path, hub: Hub) -> None:
    folder = fetched(REPOSITORY)
    assert contents(folder) == FILES
    assert folder.is_relative_to(cache)
    assert hub.given == {name: len(data) for name, data in FILES.items()}
    assert fetched(REPOSITORY) == folder
    assert hub.given == {name: len(data) for name, data in FILES.items()}


def test_a_folder_on_s3(cache: Path, bucket: str) -> None:
    files = {**FILES, ".hidden": b"x", "a/b/c": b"too deep"}
    for name, data in files.items():
        Storage(bucket).put(f"models/m/{name}", data)
    Storage(bucket).put("models/m2/config.json", b"another folder")
    first = fetched(f"{bucket}/models/m")
    assert contents(first) == FILES
    assert fetched(f"{bucket}/models/m/") == first
    Storage(bucket).put("models/m/config.json", b"[]")  # the same size, other contents
    second = fetched(f"{bucket}/models/m")
    assert contents(second)["config.json"] == b"[]"
    assert contents(first)["config.json"] == b"{}"


def test_only_what_is_wanted_comes(cache: Path, hub: Hub) -> None:
    folder = fetch_folder(REPOSITORY, list_folder(REPOSITORY), {"config.json"}.__contains__)
    assert contents(folder) == {"config.json": b"{}"}
    assert contents(fetched(REPOSITORY)) == FILES


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("lm.safetensors", bytes(5120), "its sha256 is"),
        ("config.json", b"[]", "its sha1 is"),
        ("lm.safetensors", FILES["lm.safetensors"][:-1], "came as 1119 bytes"),
    ],
)
def test_what_is_not_as_listed_is_refused_and_tried_anew(
    cache: Path, hub: Hub, name: str, data: bytes, words: str
) -> None:
    hub.spoil[name] = data
    with pytest.raises(ValueError, match=words):
        fetched(REPOSITORY)
    assert name not in [path.name for path in cache.rglob("*")]
    hub.spoil.clear()
    assert contents(fetched(REPOSITORY)) == FILES


def test_a_stop_repeats_no_piece(cache: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = model_cache._piece, []

    def stopping(fs: object, path: str, start: int, stop: int, uri: str) -> bytes:
        calls.append((uri, start))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(fs, path, start, stop, uri)

    monkeypatch.setattr(model_cache, "_piece", stopping)
    with pytest.raises(KeyboardInterrupt):
        fetched(REPOSITORY)
    assert contents(fetched(REPOSITORY)) == FILES
    assert hub.given == {name: len(data) for name, data in FILES.items()}


OLD, NEW = "a" * 40, "b" * 40


@pytest.mark.parametrize("revision", ["v1", OLD, "refs/pr/3"])
def test_a_revision_names_what_is_fetched(cache: Path, hub: Hub, revision: str) -> None:
    old = {**FILES, "config.json": b"old"}
    hub.revisions = {"main": NEW, "v1": OLD, "refs/pr/3": OLD}
    hub.commits = {OLD: old}
    uri = pinned(f"{REPOSITORY}@{revision}")
    assert (uri, commit_of(uri)) == (f"{REPOSITORY}@{OLD}", OLD)
    assert contents(fetched(uri)) == old
    assert pinned(f"{REPOSITORY}@{revision}/tokenizer") == f"{REPOSITORY}@{OLD}/tokenizer"
    now = pinned(REPOSITORY)
    assert commit_of(now) == NEW
    assert contents(fetched(now)) == FILES


def test_a_commit_holds_where_the_branch_moves_on(cache: Path, hub: Hub) -> None:
    hub.revisions["main"] = OLD
    uri = pinned(REPOSITORY)
    hub.revisions["main"] = NEW
    hub.commits = {OLD: {"config.json": b"old"}}
    assert contents(fetched(uri)) == {"config.json": b"old"}
    assert pinned(uri) == uri


def test_another_commit_of_the_same_files_brings_nothing_anew(cache: Path, hub: Hub) -> None:
    first = fetched(pinned(REPOSITORY))
    given = dict(hub.given)
    hub.revisions["main"] = NEW
    assert fetched(pinned(REPOSITORY)) == first
    assert hub.given == given


@pytest.mark.parametrize("uri", [f"{REPOSITORY}@nothing", "hf://team/absent@v1", "hf://alone"])
def test_no_such_revision(cache: Path, hub: Hub, uri: str) -> None:
    with pytest.raises(ValueError, match=uri.split("/")[-1].split("@")[0]):
        pinned(uri)


@pytest.mark.parametrize("uri", ["tiny", "/a/b@c", "s3://bucket/a@b", f"s3://bucket/x@{OLD}"])
def test_other_addresses_have_no_commit(uri: str) -> None:
    assert pinned(uri) == uri
    assert commit_of(uri) is None


@pytest.mark.parametrize("uri", ["hf://team/absent", "hf://team/model/nothing"])
def test_what_is_absent_is_the_user_s_to_mend(cache: Path, hub: Hub, uri: str) -> None:
    with pytest.raises(ValueError, match=uri):
        list_folder(uri)


def test_processes_of_a_node_fetch_once(cache: Path, hub: Hub) -> None:
    code = (
        "from actors.storage.model_cache import fetch_folder, list_folder\n"
        f"print(fetch_folder({REPOSITORY!r}, list_folder({REPOSITORY!r})))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate()[0].strip() for process in running}
    assert len(folders) == 1
    assert contents(Path(folders.pop())) == FILES
    assert hub.given == {name: len(data) for name, data in FILES.items()}


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIAUDIO2_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/uniaudio2")
    monkeypatch.setenv("UNIAUDIO2_CACHE", "/y")
    assert cache_folder() == Path("/y")
