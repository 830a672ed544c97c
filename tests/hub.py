"""A model hub over HTTP, as far as listing and fetching files of a repository goes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE_BYTES = 1000  # files from here on are kept by the hash of their contents


class Hub(ThreadingHTTPServer):
    """Serves ``files`` of one repository, and counts the bytes of them that it gave.

    `spoil` maps a name to contents that are served in the place of the listed ones.
    """

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repository = repository
        self.files = files
        self.spoil: dict[str, bytes] = {}
        self.given: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def tree(self) -> list[dict[str, object]]:
        return [self._entry(name, data) for name, data in self.files.items()]

    @staticmethod
    def _entry(name: str, data: bytes) -> dict[str, object]:
        content = b"blob %d\0" % len(data) + data
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(data)}
        entry["oid"] = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if len(data) >= LARGE_BYTES:
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
        return entry


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        hub = self.server
        api, raw = f"/api/models/{hub.repository}", f"/{hub.repository}/resolve/main/"
        if path in (api, f"{api}/revision/main"):
            self._send(json.dumps({"id": hub.repository, "sha": "0" * 40}).encode())
        elif path.startswith(f"{api}/tree/main"):
            self._send(json.dumps(hub.tree()).encode())
        elif path.startswith(raw) and path.removeprefix(raw) in hub.files:
            self._send_file(path.removeprefix(raw))
        else:
            self._send(b'{"error": "not found"}', 404)

    def _send_file(self, name: str) -> None:
        data = self.server.spoil.get(name, self.server.files[name])
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        piece = data[int(first) : int(last) + 1]
        self.server.given[name] = self.server.given.get(name, 0) + len(piece)
        self._send(piece, 206)

    def _send(self, data: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
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
