"""Models come from a hub at one commit, each file once, and without a hub from the cache."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.storage import file_systems
from actors.storage.model_cache import fetch_folder, list_folder
from actors.storage.model_hub import cache_folder, commit_of, pinned
from tests.support.hub import Hub, serving

FILES = {
    "config.json": b"{}",
    "lm.safetensors": bytes(range(256)) * 20,
    "tokenizer/a[1].json": b"[]",
    ".gitattributes": b"hidden",
    "a/b/c": b"too deep",
}
WANTED = {name: FILES[name] for name in ("config.json", "lm.safetensors", "tokenizer/a[1].json")}
GIVEN = {name: len(data) for name, data in WANTED.items()}
REPOSITORY = "hf://team/model"
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving("team/model", dict(FILES)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fetched(uri: str = REPOSITORY) -> Path:
    uri = pinned(uri)
    return fetch_folder(uri, list_folder(uri))


def test_a_folder_comes_once(cache: Path, hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    folder = fetched()
    assert contents(folder) == WANTED
    assert folder.is_relative_to(cache)
    assert hub.given == GIVEN
    assert fetched() == folder
    assert hub.given == GIVEN
    assert capfd.readouterr() == ("", "")


def test_only_what_is_wanted_comes(hub: Hub) -> None:
    uri = pinned(REPOSITORY)
    folder = fetch_folder(uri, list_folder(uri), {"config.json"}.__contains__)
    assert contents(folder) == {"config.json": b"{}"}
    assert contents(fetched()) == WANTED
    assert contents(fetched(f"{REPOSITORY}/tokenizer")) == {"a[1].json": b"[]"}
    assert hub.given == GIVEN


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("lm.safetensors", bytes(5120), "its sha256 is"), ("config.json", b"[]", "its sha1 is")],
)
def test_what_is_not_as_listed_is_refused_and_tried_anew(
    cache: Path, hub: Hub, name: str, data: bytes, words: str
) -> None:
    hub.spoil[name] = data
    with pytest.raises(ValueError, match=words):
        fetched()
    assert name not in [path.name for path in cache.rglob("*")]
    hub.spoil.clear()
    assert contents(fetched()) == WANTED


def test_what_comes_short_is_a_fault_of_the_hub(
    cache: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_systems, "ATTEMPTS", 2)
    hub.spoil["lm.safetensors"] = FILES["lm.safetensors"][:-1]
    with pytest.raises(OSError, match="should be of size 5120"):
        fetched()
    assert "lm.safetensors" not in [path.name for path in cache.rglob("*")]
    hub.spoil.clear()
    assert contents(fetched()) == WANTED
    assert hub.given["config.json"] == GIVEN["config.json"]


def test_a_hub_that_is_out_of_order_for_a_while(hub: Hub) -> None:
    uri = pinned(REPOSITORY)
    hub.down = 1
    assert contents(fetched(uri)) == WANTED


def test_leftovers_of_killed_processes_go(cache: Path, hub: Hub) -> None:
    left = cache / "hub/models--team--model/blobs/0123.4567.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1000))
    fetched()
    assert not left.exists()


def test_without_a_hub_the_cache_serves(hub: Hub) -> None:
    folder = fetched()
    code = (
        "from actors.storage.model_cache import fetch_folder, list_folder\n"
        "from actors.storage.model_hub import pinned\n"
        "import sys\n"
        "for uri in sys.argv[1:]:\n"
        "    try:\n"
        "        uri = pinned(uri)\n"
        "        print(fetch_folder(uri, list_folder(uri)))\n"
        "    except ValueError as fault:\n"
        "        print(fault)\n"
    )
    there = [REPOSITORY, f"{REPOSITORY}@main", pinned(REPOSITORY)]
    absent = [f"{REPOSITORY}@v2", f"{REPOSITORY}@{OLD}"]
    asked = list(hub.asked)
    command = ["env", "HF_HUB_OFFLINE=1", sys.executable, "-c", code, *there, *absent]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == [str(folder)] * 3 + [
        f"model {uri!r} is not in the cache, and HF_HUB_OFFLINE is set: unset it once"
        for uri in absent
    ]
    assert hub.asked == asked


@pytest.mark.parametrize("revision", ["v1", OLD, "refs/pr/3"])
def test_a_revision_names_what_is_fetched(hub: Hub, revision: str) -> None:
    old = {**WANTED, "config.json": b"old"}
    hub.revisions = {"main": NEW, "v1": OLD, "refs/pr/3": OLD}
    hub.commits = {OLD: old}
    uri = pinned(f"{REPOSITORY}@{revision}")
    assert (uri, commit_of(uri)) == (f"{REPOSITORY}@{OLD}", OLD)
    assert contents(fetched(uri)) == old
    assert pinned(f"{REPOSITORY}@{revision}/tokenizer") == f"{REPOSITORY}@{OLD}/tokenizer"
    now = pinned(REPOSITORY)
    assert commit_of(now) == NEW
    assert contents(fetched(now)) == WANTED


def test_a_commit_holds_where_the_branch_moves_on(hub: Hub) -> None:
    hub.revisions["main"] = OLD
    uri = pinned(REPOSITORY)
    hub.revisions["main"] = NEW
    hub.commits = {OLD: {"config.json": b"old"}}
    assert contents(fetched(uri)) == {"config.json": b"old"}
    assert pinned(uri) == uri


def test_another_commit_brings_what_is_new(hub: Hub) -> None:
    fetched()
    hub.revisions["main"] = NEW
    hub.commits = {"0" * 40: dict(FILES)}
    hub.files["config.json"] = b"[1]"
    assert contents(fetched()) == {**WANTED, "config.json": b"[1]"}
    assert hub.given == {**GIVEN, "config.json": 2 + 3}


@pytest.mark.parametrize("uri", [f"{REPOSITORY}@nothing", "hf://team/absent@v1", "hf://alone"])
def test_no_such_revision(hub: Hub, uri: str) -> None:
    with pytest.raises(ValueError, match=uri.split("/")[-1].split("@")[0]) as why:
        pinned(uri)
    assert str(why.value).isprintable()


@pytest.mark.parametrize("uri", ["tiny", "/a/b@c", "s3://bucket/a@b", f"s3://bucket/x@{OLD}"])
def test_other_addresses_have_no_commit(uri: str) -> None:
    assert pinned(uri) == uri
    assert commit_of(uri) is None


def test_what_is_absent_is_the_user_s_to_mend(hub: Hub) -> None:
    with pytest.raises(ValueError, match="holds no files"):
        list_folder(pinned(f"{REPOSITORY}/nothing"))
    with pytest.raises(ValueError, match=f"team/model@{NEW}.*cannot be found"):
        list_folder(f"{REPOSITORY}@{NEW}")


def test_processes_of_a_node_fetch_once(hub: Hub) -> None:
    code = (
        "from actors.storage.model_cache import fetch_folder, list_folder\n"
        "from actors.storage.model_hub import pinned\n"
        f"uri = pinned({REPOSITORY!r})\n"
        "print(fetch_folder(uri, list_folder(uri)))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate()[0].strip() for process in running}
    assert len(folders) == 1
    assert contents(Path(folders.pop())) == WANTED
    assert hub.given == GIVEN


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIAUDIO2_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/uniaudio2")
    monkeypatch.setenv("UNIAUDIO2_CACHE", "/y")
    assert cache_folder() == Path("/y")
