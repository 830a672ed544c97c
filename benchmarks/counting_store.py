"""An S3 server of this machine that counts what it is asked: moto, in a process of its own."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

BUCKET = "bench"
KINDS = ("PUT", "GET", "HEAD", "LIST", "POST", "DELETE")
_COUNTS = "/_counts"
_KEYS = {
    "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1",
}  # fmt: skip


class _Counting:
    """Passes requests on, and counts them by kind, those of commit records apart."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == _COUNTS:
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.asked).encode()]
        kind, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""))
        kind = "LIST" if kind == "GET" and "list-type" in query else kind
        with self._lock:
            self.asked[kind] += 1
            if kind == "PUT":
                self.asked["bytes"] += int(environ.get("CONTENT_LENGTH") or 0)
                self.asked["records"] += "/_log/units/" in path
        answer: Iterable[bytes] = self.inside(environ, start)
        return answer


def _serve(port: Any) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    inside = _Counting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, inside, threaded=True)
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def counting_store() -> Iterator[str]:
    """The address of an empty store; what finds it stands in the environment meanwhile."""
    context = multiprocessing.get_context("spawn")
    there, port = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(port,), daemon=True)
    process.start()
    address = f"http://127.0.0.1:{there.recv()}"
    before = dict(os.environ)
    os.environ.update(_KEYS, AWS_ENDPOINT_URL=address)
    try:
        _make_bucket(address)
        yield address
    finally:
        for name in (*_KEYS, "AWS_ENDPOINT_URL"):
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]
        process.terminate()
        process.join()


def _make_bucket(address: str) -> None:
    import boto3

    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)


def asked_of(address: str) -> Mapping[str, int]:
    """How often the store was asked so far: by kind of request, `records` that were put among
    them, and the `bytes` of all PUTs."""
    with urllib.request.urlopen(f"{address}{_COUNTS}") as answer:  # noqa: S310 - our own
        found: dict[str, int] = json.load(answer)
    return Counter(found)
