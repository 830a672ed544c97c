"""A store of generated Parquet shards that speaks as much of S3 as reading a corpus takes.

It answers ListObjectsV2, HEAD and GET with ranges, each after a delay, as a store far away does;
nothing is checked, and nothing can be written.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

BUCKET = "corpus"
_PAGE = 1000
_MARK = b"SHARD000000"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>"
    '<ETag>"{number:032x}"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass>'
    "</Contents>"
)
_DATE = "Sun, 01 Nov 2026 00:00:00 GMT"


@dataclass(frozen=True)
class Shards:
    """Shards of one size.

    Attributes:
        count: how many there are.
        rows: of each.
        delay_s: before every answer.
    """

    count: int
    rows: int
    delay_s: float

    def template(self) -> bytes:
        """A shard, with a mark for its number in every id; pages are not packed, so that a mark
        gives way to a number where it stands."""
        mark = _MARK.decode()
        table = pa.table({
            "id": [f"{mark}/{row:06d}" for row in range(self.rows)],
            "text": [f"this is what was said in row {row} of {mark}" for row in range(self.rows)],
            "speaker": [f"speaker-{row % 7}" for row in range(self.rows)],
        })  # fmt: skip
        file = io.BytesIO()
        pq.write_table(table, file, compression="none")
        return file.getvalue()


def _key(number: int) -> str:
    return f"train/shard-{number:06d}.parquet"


class _Store:
    def __init__(self, shards: Shards) -> None:
        self.shards, self.data = shards, shards.template()
        self.requests: dict[str, int] = {}

    def listing(self, asked: Mapping[str, list[str]]) -> bytes:
        """A page of ListObjectsV2."""
        prefix = asked.get("prefix", [""])[0]
        first = int(asked.get("continuation-token", ["0"])[0])
        most = min(_PAGE, int(asked.get("max-keys", [str(_PAGE)])[0]))
        keys = range(first, min(first + most, self.shards.count))
        found = [
            _ENTRY.format(key=_key(number), number=number, size=len(self.data))
            for number in keys
            if _key(number).startswith(prefix)
        ]
        more = first + most < self.shards.count and found
        token = f"<NextContinuationToken>{first + most}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>'
            f"{'true' if more else 'false'}</IsTruncated><KeyCount>{len(found)}</KeyCount>"
            f"<MaxKeys>{most}</MaxKeys>{token}{''.join(found)}</ListBucketResult>"
        ).encode()

    def shard(self, number: int) -> bytes:
        return self.data.replace(_MARK, b"SHARD%06d" % number)

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """Status, headers and body."""
        parts = urlsplit(target)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        found = re.fullmatch(r"train/shard-(\d{6})\.parquet", key)
        kind = "LIST" if not key and method == "GET" else method
        self.requests[kind] = self.requests.get(kind, 0) + 1
        if key == "requests":
            return _response(200, repr(self.requests).encode(), {})
        if not key:
            return _response(200, self.listing(parse_qs(parts.query)), {})
        if not found or int(found[1]) >= self.shards.count:
            return _response(404, b"", {})
        number = int(found[1])
        facts = {"ETag": f'"{number:032x}"', "Last-Modified": _DATE, "Accept-Ranges": "bytes"}
        if method == "HEAD":
            return _response(200, b"", {**facts, "Content-Length": str(len(self.data))})
        data = self.shard(number)
        if wanted := _RANGE.fullmatch(headers.get("range", "")):
            start, stop = int(wanted[1]), int(wanted[2] or len(data) - 1) + 1
            where = f"bytes {start}-{min(stop, len(data)) - 1}/{len(data)}"
            return _response(206, data[start:stop], {**facts, "Content-Range": where})
        return _response(200, data, facts)


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    headers = {"Content-Length": str(len(body)), "Content-Type": "application/xml", **headers}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _serve(shards: Shards, port: Any) -> None:
    store = _Store(shards)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n"):
                method, target, _ = head[0].split(" ")
                pairs = (line.split(":", 1) for line in head[1:] if ":" in line)
                headers = {name.lower(): value.strip() for name, value in pairs}
                await asyncio.sleep(shards.delay_s)
                writer.write(store.answer(method, target, headers))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def _process(shards: Shards, port: Any) -> None:
    asyncio.run(_serve(shards, port))


@contextmanager
def serving(shards: Shards) -> Iterator[str]:
    """The address of a store of shards, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    there, port = context.Pipe(duplex=False)
    process = context.Process(target=_process, args=(shards, port), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{there.recv()}"
    finally:
        process.terminate()
        process.join()
