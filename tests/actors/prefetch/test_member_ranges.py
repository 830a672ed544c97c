"""Members that lie one behind the other are one request, whatever rows make of them."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import webdataset

from actors.prefetch import member_ranges
from actors.prefetch.member_ranges import STRETCH_BYTES, MemberRanges, opened_here
from actors.stages.load import Loader
from actors.storage.fetch import BLOCKS_FROM_BYTES, Limits, byte_range
from actors.storage.object_store import Storage
from pipelines.planning.plan import make_plan, passthrough_schema
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task

TAR = "s3://b/a.tar"
DATA = random.Random(0).randbytes(1 << 20)
Asked = list[tuple[int, int]]


def members(ranges: list[tuple[int, int]], asked: Asked | None = None) -> MemberRanges:
    """Members of a tar of which every mebibyte is the same."""

    def read(start: int, stop: int) -> bytes:
        if asked is not None:
            asked.append((start, stop))
        many = DATA * (stop // len(DATA) + 1)
        return many[start:stop]

    names = [byte_range(TAR, start, length) for start, length in ranges]
    return MemberRanges(TAR, names, read, Limits())


def test_neighbours_are_one_request_and_the_bytes_are_their_own() -> None:
    ranges = [(512 + 1536 * number, 700 + number) for number in range(200)]
    asked: Asked = []
    found = members(ranges, asked)

    def work(row: int) -> bytes:
        with found.row(row):
            file = opened_here(byte_range(TAR, *ranges[row]))
            assert file is not None
            return file.read()

    with ThreadPoolExecutor(4) as pool:
        for (start, length), data in zip(ranges, pool.map(work, range(200)), strict=True):
            assert data == DATA[start : start + length]
    assert asked == [(512, 512 + 1536 * 199 + 899)]
    assert opened_here(byte_range(TAR, *ranges[0])) is None


def test_what_lies_apart_is_asked_for_apart_and_no_stretch_is_long() -> None:
    far = [(0, 1000), (3 << 20, 1000), (1 << 20, 1000)]
    large = [(number << 20, 1 << 20) for number in range(4, 24)]
    asked: Asked = []
    found = members([*far, *large], asked)
    for row in range(23):
        with found.row(row):
            assert opened_here(byte_range(TAR, *[*far, *large][row])) is not None
    lengths = [stop - start for start, stop in asked]
    assert len(asked) == len({*asked}) and max(lengths) <= STRETCH_BYTES
    assert sorted(asked)[:3] == [
        (0, 1000),
        (1 << 20, (1 << 20) + 1000),
        (3 << 20, (3 << 20) + 1000),
    ]
    assert len(asked) <= 7


def test_no_more_is_held_than_rows_are_about_to_want() -> None:
    held, most = 0, 0
    lock = threading.Lock()

    class Held(bytes):
        def __del__(self) -> None:
            nonlocal held
            held -= len(self)

    ranges = [(number << 20, 1 << 20) for number in range(128)]
    names = [byte_range(TAR, *one) for one in ranges]

    def read(start: int, stop: int) -> bytes:
        nonlocal held, most
        with lock:
            held += stop - start
            most = max(most, held)
        return Held(bytes(stop - start))

    found = MemberRanges(TAR, names, read, Limits())
    for row in range(128):
        with found.row(row):
            assert opened_here(names[row]) is not None
    assert most <= 40 << 20


def test_what_is_not_there_or_too_large_is_left_to_its_row() -> None:
    def read(start: int, stop: int) -> bytes:
        if start:
            raise OSError("no answer")
        return DATA[:stop][:900]

    ranges = [(0, 1000), (1 << 22, 10), (1 << 24, BLOCKS_FROM_BYTES), (1 << 25, 2000)]
    names: list[object] = [*(byte_range(TAR, *one) for one in ranges), "other.wav", None]
    found = MemberRanges(TAR, names, read, Limits(max_bytes=1500))
    for row, name in enumerate(names):
        with found.row(row):
            assert opened_here(str(name)) is None


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    from aiobotocore.client import AioBaseClient

    kinds: list[str] = []
    make = AioBaseClient._make_api_call

    async def counting(self: object, name: str, facts: object) -> object:
        kinds.append(name)
        return await make(self, name, facts)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counting)
    yield kinds


def test_a_unit_reads_its_members_in_one_request(bucket: str, sent: list[str]) -> None:
    """On a real S3 API over HTTP: requests of a unit of 32 members, and what they gave."""
    sink = io.BytesIO()
    sounds = [tone(0.05 + number / 100) for number in range(32)]
    with webdataset.TarWriter(sink) as writer:
        for number, sound in enumerate(sounds):
            writer.write({"__key__": f"{number:03d}", "wav": wav_bytes(sound), "txt": "a"})
    Storage(bucket).put("a.tar", sink.getvalue())
    plan = make_plan(f"{bucket}/a.tar", get_task("tokenize"), unit_rows=32)
    (unit,) = plan.units
    loader = Loader(get_task("tokenize"), passthrough_schema(plan.schema))
    sent.clear()
    table = loader(unit.to_table())
    assert sent == ["GetObject"]
    assert table["error_kind"].null_count == 32
    assert table["input_samples"].to_pylist() == [len(sound) for sound in sounds]
    sent.clear()
    with pytest.MonkeyPatch.context() as patch:  # one by one, as before
        patch.setattr(member_ranges, "is_store", lambda _: False)
        alone = loader(unit.to_table())
    assert len(sent) == 64  # its size and its bytes, for each
    assert table["wave"].to_pylist() == alone["wave"].to_pylist()
