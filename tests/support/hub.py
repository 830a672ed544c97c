"""A model hub over HTTP, as far as listing and fetching files of a repository goes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE_BYTES = 1000  # files from here on are kept by the hash of their contents


class Hub(ThreadingHTTPServer):
    """Serves ``files`` of one repository, and counts the bytes of them that it gave.

    `revisions` maps branches and tags to commits, `commits` maps commits to their files where
    these are not ``files``. `spoil` maps a name to contents that are served in the place of the
    listed ones. `asked` are the paths of all requests; the next `down` of them are not answered.
    """

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repository = repository
        self.files = files
        self.revisions = {"main": "0" * 40}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.spoil: dict[str, bytes] = {}
        self.given: dict[str, int] = {}
        self.asked: list[str] = []
        self.down = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, revision: str) -> str | None:
        known = {*self.revisions.values(), *self.commits}
        return revision if revision in known else self.revisions.get(revision)

    def files_at(self, revision: str) -> dict[str, bytes]:
        return self.commits.get(self.commit(revision) or "", self.files)

    def tree(self, revision: str) -> list[dict[str, object]]:
        return [self.entry(name, data) for name, data in self.files_at(revision).items()]

    @staticmethod
    def entry(name: str, data: bytes) -> dict[str, Any]:
        content = b"blob %d\0" % len(data) + data
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
        entry["oid"] = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if len(data) >= LARGE_BYTES:
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
        return entry


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path  # a revision may hold a slash, which is quoted
        hub = self.server
        api, raw = f"/api/models/{hub.repository}", f"/{hub.repository}/resolve/"
        asked, inside = map(unquote, path.removeprefix(raw).partition("/")[::2])
        rest = path.removeprefix(api).strip("/") if path.startswith(api) else ""
        words = [unquote(word) for word in rest.split("/")]
        revision = words[1] if len(words) > 1 else "main"
        hub.asked.append(path)
        if hub.down > 0:
            hub.down -= 1
            self._send_absent("", 503)
        elif path.startswith(raw) and hub.commit(asked) and inside in hub.files_at(asked):
            self._send_file(asked, inside)
        elif not path.startswith(api):
            self._send_absent("RepoNotFound")
        elif not hub.commit(revision):
            self._send_absent("RevisionNotFound")
        elif words[:1] in ([""], ["revision"]):
            facts = {"id": hub.repository, "sha": hub.commit(revision)}
            self._send(json.dumps(facts).encode())
        elif words[0] == "tree":
            self._send(json.dumps(hub.tree(revision)).encode())
        else:
            self._send_absent("EntryNotFound")

    def _send_absent(self, code: str, status: int = 404) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_file(self, revision: str, name: str) -> None:
        hub = self.server
        listed = hub.entry(name, hub.files_at(revision)[name])
        data = hub.spoil.get(name, hub.files_at(revision)[name])
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        piece = data[int(first) :]
        if self.command == "GET":
            hub.given[name] = hub.given.get(name, 0) + len(piece)
        large = listed.get("lfs", listed)
        self._send(
            piece,
            206 if "Range" in self.headers else 200,
            {
                "X-Repo-Commit": str(hub.commit(revision)),
                "X-Linked-Size": str(listed["size"]),
                "ETag": f'"{large["oid"]}"',
            },
        )

    def _send(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def serving(repository: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub that runs as long as the block."""
    hub = Hub(repository, files)
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
