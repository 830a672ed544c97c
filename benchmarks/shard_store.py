"""A store of generated Parquet shards and a large tar that speaks as much of S3 as reading them
takes.

It answers ListObjectsV2, HEAD and GET with ranges, each after a delay, as a store far away does;
nothing is checked, and nothing can be written.
"""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import re
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

BUCKET, TAR, INDEXED_TAR = "corpus", "tars/large.tar", "tars/indexed.tar"
_INDEX, TARS = "tars/indexed.idx", "many"
MEMBER_BYTES = 1 << 20
_PAGE = 1000
_MARK = b"SHARD000000"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>"
    '<ETag>"{number:032x}"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass>'
    "</Contents>"
)
_NAME = re.compile(r"train/shard-(\d{6})\.parquet")
_ASKED = "asked"
_DATE = "Sun, 01 Nov 2026 00:00:00 GMT"


@dataclass(frozen=True)
class Shards:
    """Shards of one size.

    Attributes:
        count: how many there are.
        rows: of each.
        delay_s: before every answer.
        members: of a tar.
        tars: how many small ones there are besides.
    """

    count: int
    rows: int
    delay_s: float
    members: int = 0
    tars: int = 0

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


def _tar_key(number: int) -> str:
    return f"{TARS}/{number:06d}.tar"


def _key(number: int) -> str:
    return f"train/shard-{number:06d}.parquet"


def _tar_size(members: int) -> int:
    return members * (tarfile.BLOCKSIZE + MEMBER_BYTES) + 2 * tarfile.BLOCKSIZE


def _index(members: int) -> bytes:
    """The index of a tar, as `wds2idx` writes it."""
    each = tarfile.BLOCKSIZE + MEMBER_BYTES
    lines = [
        f"wav {number * each + tarfile.BLOCKSIZE} {MEMBER_BYTES} {number:06d}.wav\n"
        for number in range(members)
    ]
    return "".join([f"v1.2 {members}\n", *lines]).encode()


def _is_one_of_many(key: str) -> bool:
    return key.startswith(f"{TARS}/") and key.endswith(".tar")


def _tar_bytes(members: int, start: int, stop: int, name: str = "") -> bytes:
    """Bytes of a tar of silent members, from one place to another."""
    each = tarfile.BLOCKSIZE + MEMBER_BYTES
    found = bytearray(stop - start)
    for number in range(start // each, min(members, -(-stop // each))):
        info = tarfile.TarInfo(f"{name}{number:06d}.wav")
        info.size = MEMBER_BYTES
        header, at = info.tobuf(tarfile.USTAR_FORMAT), number * each
        first, last = max(at, start), min(at + len(header), stop)
        if first < last:
            found[first - start : last - start] = header[first - at : last - at]
    return bytes(found)


class _Store:
    def __init__(self, shards: Shards) -> None:
        self.shards, self.data = shards, shards.template()
        self.asked: dict[str, int] = {}

    def listing(self, asked: Mapping[str, list[str]]) -> bytes:
        """A page of ListObjectsV2."""
        prefix = asked.get("prefix", [""])[0]
        first = int(asked.get("continuation-token", ["0"])[0])
        most = min(_PAGE, int(asked.get("max-keys", [str(_PAGE)])[0]))
        if prefix.startswith(TARS):
            count, key, size = self.shards.tars, _tar_key, _tar_size(self.shards.members)
        else:
            count, key, size = self.shards.count, _key, len(self.data)
        keys = range(first, min(first + most, count))
        found = [
            _ENTRY.format(key=key(number), number=number, size=size)
            for number in keys
            if key(number).startswith(prefix)
        ]
        more = first + most < count and found
        token = f"<NextContinuationToken>{first + most}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>'
            f"{'true' if more else 'false'}</IsTruncated><KeyCount>{len(found)}</KeyCount>"
            f"<MaxKeys>{most}</MaxKeys>{token}{''.join(found)}</ListBucketResult>"
        ).encode()

    def size(self, key: str) -> int | None:
        """Size of an object; None where there is none."""
        if self.shards.members and (key in (TAR, INDEXED_TAR) or _is_one_of_many(key)):
            return _tar_size(self.shards.members)
        if self.shards.members and key == _INDEX:
            return len(_index(self.shards.members))
        found = _NAME.fullmatch(key)
        return len(self.data) if found and int(found[1]) < self.shards.count else None

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes of an object."""
        if key in (TAR, INDEXED_TAR):
            return _tar_bytes(self.shards.members, start, stop)
        if _is_one_of_many(key):
            return _tar_bytes(self.shards.members, start, stop, key[-10:-4])
        if key == _INDEX:
            return _index(self.shards.members)[start:stop]
        number = b"SHARD%s" % key[-14:-8].encode()
        return self.data.replace(_MARK, number)[start:stop]

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """Status, headers and body."""
        parts = urlsplit(target)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        if key == _ASKED:
            return _response(200, json.dumps(self.asked).encode(), {})
        self.note("LIST" if not key else method, 1)
        if not key:
            return _response(200, self.listing(parse_qs(parts.query)), {})
        size = self.size(key)
        if size is None:
            return _response(404, b"", {})
        facts = {"ETag": f'"{hash(key) % 2**64:032x}"', "Last-Modified": _DATE}
        if match := _NAME.fullmatch(key):
            facts["ETag"] = f'"{int(match[1]):032x}"'
        if method == "HEAD":
            return _response(200, b"", {**facts, "Content-Length": str(size)})
        start, stop, status = 0, size, 200
        if wanted := _RANGE.fullmatch(headers.get("range", "")):
            start, stop, status = int(wanted[1]), min(int(wanted[2] or size) + 1, size), 206
            facts["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.note("bytes", stop - start)
        return _response(status, self.read(key, start, stop), facts)

    def note(self, what: str, count: int) -> None:
        self.asked[what] = self.asked.get(what, 0) + count


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


def asked_of(address: str) -> dict[str, int]:
    """How often a store was asked so far, by what for, and how many `bytes` of objects it gave."""
    with urllib.request.urlopen(f"{address}/{BUCKET}/{_ASKED}") as answer:  # noqa: S310 - our own
        found: dict[str, int] = json.load(answer)
    return found
