"""Serve the metrics of a run over HTTP for as long as it goes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from pipelines.errors import UsageError
from pipelines.metrics.collector import RunCollector
from pipelines.progress.progress import Progress, Style
from pipelines.run_state.counts import Counts

PATH = "/metrics"
_SLOWEST_S = 10.0
_Answer = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Metrics:
    """What a server of metrics shows; without one, nothing.

    Args:
        collector: of the server, or None.
        address: of the metrics, ``http://127.0.0.1:9400/metrics``, or "".
    """

    def __init__(self, collector: RunCollector | None = None, address: str = "") -> None:
        self._collector = collector
        self.address = address

    def watch(self, progress: Progress) -> None:
        """Show this run from now on."""
        if self._collector is not None:
            self._collector.progress = progress


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a scrape; none of them is waited for at the end."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a scraper that went away, or the end of the run, is no matter of the run."""

    def server_bind(self) -> None:
        """Ask no name server what this machine is called, as `HTTPServer` would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _SLOWEST_S

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing for a scrape."""


def _only_metrics(answer: _Answer) -> _Answer:
    """Answer for one path."""

    def answered(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == PATH:
            return answer(environ, start)
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"metrics are at /metrics\n"]

    return answered


def _started(port: int, host: str, collector: RunCollector) -> _Server:
    """Raises UsageError where metrics cannot be served, before anything else was begun."""
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as fault:
        raise UsageError(
            f"metrics_port {port}: package prometheus_client is not installed; "
            "pip install 'uniaudio2-batch[metrics]'"
        ) from fault
    registry = CollectorRegistry()
    registry.register(collector)
    kind = _IPv6Server if ":" in host else _Server
    try:
        return make_server(host, port, _only_metrics(make_wsgi_app(registry)), kind, _Handler)
    except OSError as fault:
        raise UsageError(
            f"metrics_port {port}: cannot listen at {host}: {fault.strerror}; choose another port, "
            "or 0 for a free one"
        ) from fault


@contextmanager
def serving(port: int | None, host: str, style: Style) -> Iterator[Metrics]:
    """Serve metrics while the context lasts, and say where.

    Args:
        port: to listen at; 0 for a free one, None to serve nothing.
        host: interface to listen at.
        style: how a run says its lines.

    Raises:
        UsageError: the port is in use, the host is none of this machine, or a package is absent.
    """
    if port is None:
        yield Metrics()
        return
    collector = RunCollector()
    server = _started(port, host, collector)
    shown_host = f"[{host}]" if ":" in host else host
    address = f"http://{shown_host}:{server.server_port}{PATH}"
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        Progress(Counts(), style).say("metrics", f"metrics at {address}", address=address)
        yield Metrics(collector, address)
    finally:
        server.shutdown()
        server.server_close()
