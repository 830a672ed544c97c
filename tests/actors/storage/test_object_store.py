"""The same promises on local disk and on S3."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors.storage import file_systems
from actors.storage.file_systems import read_uri, retrying
from actors.storage.object_store import ObjectExists, Storage


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "out"))
    return Storage(request.getfixturevalue("bucket") + "/out")


def test_put_replaces_and_list_sees_it(storage: Storage) -> None:
    storage.put("a/b.txt", b"one")
    storage.put("a/b.txt", b"two")
    assert storage.read("a/b.txt") == b"two"
    assert storage.list("a") == ["a/b.txt"]
    assert read_uri(storage.uri("a/b.txt")) == b"two"


def test_create_is_first_come_first_served(storage: Storage) -> None:
    storage.create("log/1.json", b"first")
    storage.create("log/1.json", b"first")  # the answer to the first call may have been lost
    with pytest.raises(ObjectExists):
        storage.create("log/1.json", b"second")
    assert storage.read("log/1.json") == b"first"
    assert storage.list("log") == ["log/1.json"]


def test_absent_things(storage: Storage) -> None:
    assert storage.list("nowhere") == []
    assert not storage.exists("nothing")
    storage.delete("nothing")
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_nothing_leaves_the_root(storage: Storage, path: str) -> None:
    with pytest.raises(ValueError, match="would leave"):
        storage.put(path, b"")


def test_retrying_gives_up_at_once_when_it_cannot_help() -> None:
    calls: list[int] = []

    def forbidden() -> None:
        calls.append(1)
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        retrying(forbidden, "reading")
    assert len(calls) == 1


def test_memory_that_runs_out_is_no_fault_of_storage() -> None:
    tries = []

    def full() -> None:
        tries.append(1)
        raise MemoryError

    with pytest.raises(MemoryError):
        retrying(full, "reading x")
    assert len(tries) == 1


def test_retrying_outlasts_a_passing_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.storage.file_systems.FIRST_WAIT_S", 0.001)
    answers = [OSError("503"), OSError("reset"), b"data"]

    def flaky() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying(flaky, "reading") == b"data"


@pytest.mark.parametrize("count", [3, 30])
def test_many_objects_go_at_once(storage: Storage, count: int) -> None:
    names = [f"data/{number}" for number in range(count)]
    for name in (*names, "data/stays"):
        storage.put(name, b"x")
    storage.delete_many([*names, "data/absent"])
    assert storage.list("data") == ["data/stays"]
    storage.delete_many([])


class _Counted(http.server.BaseHTTPRequestHandler):
    """Passes nothing on: refuses bulk deletes as some stores do, and notes what is asked."""

    server: Any

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path))
        refused = self.command == "POST"
        body = (
            b"<Error><Code>MissingContentMD5</Code><Message>x</Message></Error>" if refused else b""
        )
        self.send_response(400 if refused else 204)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def elsewhere(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point S3 at another address for a test."""
    del s3_server  # its credentials are in the environment

    def point(url: str) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        file_systems._filesystem.cache_clear()

    yield point
    file_systems._filesystem.cache_clear()


def test_a_store_without_bulk_deletes(elsewhere: Callable[[str], None]) -> None:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Counted)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    elsewhere(f"http://127.0.0.1:{server.server_port}")
    try:
        storage = Storage("s3://bucket/out")
        storage.delete_many([f"data/{number}" for number in range(20)])
        storage.delete_many([f"more/{number}" for number in range(20)])
    finally:
        server.shutdown()
        server.server_close()
    asked = Counter(method for method, _ in server.seen)
    assert asked == {"POST": 1, "DELETE": 40}  # once refused, not asked for again
    assert len({path for method, path in server.seen if method == "DELETE"}) == 40


@pytest.mark.slow
@pytest.mark.parametrize("action", ["read", "put", "create", "delete", "list"])
def test_a_store_that_never_answers_is_reported(
    action: str, elsewhere: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer tries again: no more requests arrive than it makes. Some share a connection."""
    monkeypatch.setattr(file_systems, "ANSWER_S", 0.2)
    monkeypatch.setattr(file_systems, "PATIENCE_S", 1.0)
    arrived = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(5)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    arrived.append(silent.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        elsewhere(f"http://127.0.0.1:{silent.getsockname()[1]}")
        storage = Storage("s3://bucket/out")
        storage._fs.connect()  # making a client may take longer than an answer may here
        given = {"put": (b"x",), "create": (b"x",)}.get(action, ())
        begun = time.monotonic()
        with pytest.raises(OSError):
            getattr(storage, action)("a", *given)
        assert time.monotonic() - begun < 5
    assert 1 <= len(arrived) <= 6
    for one in arrived:
        one.close()


def test_no_more_is_read_than_asked_for(storage: Storage) -> None:
    storage.put("a", b"12345")
    storage.put("b", b"")
    assert storage.read("a", 5) == b"12345"
    assert storage.read("b", 5) == b""
    with pytest.raises(OSError, match="larger than 4 bytes"):
        storage.read("a", 4)
    assert not storage.is_link("a")


def test_threads_that_begin_together_share_a_file_system(bucket: str) -> None:
    file_systems._filesystem.cache_clear()
    together = threading.Barrier(8)

    def found(_: int) -> object:
        together.wait()
        return file_systems.split_uri(bucket)[0]

    with ThreadPoolExecutor(8) as pool:
        assert len({id(one) for one in pool.map(found, range(8))}) == 1
