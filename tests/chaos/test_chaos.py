"""The bad network by itself, the judge by itself, and the short form of the chaos command."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from botocore.config import Config

from actors.storage import file_systems
from actors.storage.object_store import ObjectExists, Storage
from tests.chaos.jobs import BUCKET, Job, Result, Stand, compare, count_work
from tests.chaos.kills import Kind, Ordeal, run_clean
from tests.chaos.proxy import Passed
from tests.conftest import CREDENTIALS

FAULT_RATE = 0.1
KILLS = 1
# a killed driver is in tests/pipelines/jobs/test_faults.py
# and a killed node takes minutes: `make chaos`
SHORT_KINDS: tuple[Kind, ...] = ("actor", "worker")
# enough units that the kills come before the end, few enough for a minute of two cores
SHORT = Job("tts", rows=10, unit_rows=1, max_frames=12)


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with Stand(FAULT_RATE, seed=1) as made:
        yield made


@pytest.fixture
def bad_storage(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Storage of this process behind the proxy, and no fault left behind."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": stand.proxy.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(file_systems, "FIRST_WAIT_S", 0.01)
    file_systems._filesystem.cache_clear()
    kinds = dict(stand.proxy.kinds)
    yield Storage(stand.new_output("storage"))
    stand.proxy.rate, stand.proxy.kinds = 0.0, kinds
    file_systems._filesystem.cache_clear()


def next_fault(stand: Stand, monkeypatch: pytest.MonkeyPatch, kind: str, method: str) -> list[str]:
    """Let exactly the next request of a method go wrong; returns what was drawn."""
    drawn: list[str] = []

    def draw(asked: str) -> str | None:
        if asked == method and not drawn:
            drawn.append(kind)
            return kind
        return None

    monkeypatch.setattr(stand.proxy, "draw", draw)
    return drawn


def puts(stand: Stand, path: str) -> list[int]:
    return [p.status for p in stand.proxy.passed if p.method == "PUT" and p.path.endswith(path)]


def test_a_create_whose_answer_was_lost_knows_its_own_bytes(
    stand: Stand, bad_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = next_fault(stand, monkeypatch, "lost_answer", "PUT")
    bad_storage.create("lost/record.json", b"mine")
    assert drawn == ["lost_answer"]
    assert puts(stand, "lost/record.json") == [200, 412]  # it took effect, and was tried again
    assert bad_storage.read("lost/record.json") == b"mine"


def test_a_create_after_another_writer_is_refused_though_the_network_is_bad(
    stand: Stand, bad_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_storage.create("two/record.json", b"theirs")
    next_fault(stand, monkeypatch, "cut_before", "PUT")
    with pytest.raises(ObjectExists):
        bad_storage.create("two/record.json", b"mine")
    assert bad_storage.read("two/record.json") == b"theirs"


@pytest.mark.parametrize("conditions", ["ignored", "refused"])
def test_a_server_without_conditional_writes_is_found_out_and_still_overwrites_nothing(
    stand: Stand,
    bad_storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    conditions: Literal["ignored", "refused"],
) -> None:
    assert bad_storage.has_conditional_writes("probe")
    monkeypatch.setattr(stand.proxy, "conditions", conditions)
    assert not bad_storage.has_conditional_writes("probe")
    assert not bad_storage.exists("probe")
    bad_storage.create("three/record.json", b"theirs")
    bad_storage.create("three/record.json", b"theirs")
    with pytest.raises(ObjectExists):
        bad_storage.create("three/record.json", b"mine")
    assert bad_storage.read("three/record.json") == b"theirs"


@pytest.mark.parametrize("kind", ["500", "503", "cut_before", "lost_answer", "delay"])
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE"])
def test_every_fault_is_survived(
    stand: Stand, bad_storage: Storage, monkeypatch: pytest.MonkeyPatch, kind: str, method: str
) -> None:
    data = bytes(range(256)) * 40
    monkeypatch.setattr(stand.proxy, "delay_s", lambda: 0.02)
    drawn = next_fault(stand, monkeypatch, kind, method)
    bad_storage.put("a b/ü.bin", data)
    assert bad_storage.read("a b/ü.bin") == data
    assert bad_storage.exists("a b/ü.bin")
    assert bad_storage.list("a b") == ["a b/ü.bin"]
    bad_storage.delete("a b/ü.bin")
    assert not bad_storage.exists("a b/ü.bin")
    assert drawn == [kind]


def test_the_proxy_spoils_the_share_it_was_told_and_counts_it(stand: Stand) -> None:
    before = stand.proxy.injected.copy()
    stand.proxy.rate = 0.25
    kinds = [stand.proxy.draw("GET") for _ in range(2000)]
    stand.proxy.rate = 0.0
    spoiled = [kind for kind in kinds if kind]
    assert 400 < len(spoiled) < 600
    assert set(spoiled) == set(stand.proxy.kinds)
    counted = stand.proxy.injected - before
    assert counted == Counter(f"{kind} GET" for kind in spoiled)


def test_the_proxy_answers_as_the_server_does_when_nothing_is_wrong(stand: Stand) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=stand.proxy.url,
        config=Config(retries={"max_attempts": 0}),
        aws_access_key_id="test",
        aws_secret_access_key="test-secret",
        region_name="us-east-1",
    )
    client.put_object(Bucket=BUCKET, Key="plain/ü ?#.txt", Body=b"text")
    assert client.get_object(Bucket=BUCKET, Key="plain/ü ?#.txt")["Body"].read() == b"text"
    assert client.head_object(Bucket=BUCKET, Key="plain/ü ?#.txt")["ContentLength"] == 4
    assert stand.proxy.passed[-1].path == f"/{BUCKET}/plain/ü ?#.txt"


def result(**changes: object) -> Result:
    """Two good rows."""
    names = ("a", "b")
    good = Result(
        rows={name: {"reason_codes": [[1] * 8], "finish_reason": "stop"} for name in names},
        waves={name: np.zeros(5, np.float32) for name in names},
        seen=Counter(names),
    )
    return dataclasses.replace(good, **changes)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"seen": Counter("a")}, "lost ['b']"),
        ({"missing": ["data/x"]}, "lost ['data/x']"),
        ({"seen": Counter("abb")}, "doubled ['b']"),
        ({"seen": Counter("abc")}, "different ['c']"),
        ({"rows": {"a": {}, "b": result().rows["b"]}}, "different ['a']"),
        ({"waves": {"a": np.zeros(5), "b": np.full(5, 0.01)}}, "different ['b']"),
        ({"waves": {"a": np.zeros(5), "b": np.zeros(4)}}, "different ['b']"),
        ({"waves": {"a": np.zeros(5)}}, "different ['b']"),
        ({"spoiled": ["audio/x"]}, "different ['audio/x']"),
        ({"orphans": ["audio/y"]}, "orphans ['audio/y']"),
    ],
)
def test_the_judge_sees_every_kind_of_wrong(changes: dict[str, object], wrong: str) -> None:
    assert compare(result(), result()).good
    verdict = compare(result(), result(**changes))
    assert not verdict.good
    assert wrong in verdict.describe()


def test_the_order_of_writes_tells_of_work_done_twice() -> None:
    def puts(*paths: str) -> list[Passed]:
        return [Passed(float(n), "PUT", f"/b/out/{path}", 200) for n, path in enumerate(paths)]

    one, two = "data/part-00000001-aa.parquet", "data/part-00000001-bb.parquet"
    record = "_log/units/00000001.json"
    verdict = compare(result(), result())
    count_work(verdict, puts(one, two, two, record), [-1.0])
    assert verdict.good
    assert verdict.again == 1
    count_work(verdict, puts(one, record, two), [-1.0])
    assert verdict.good, "the write of a worker that died after its receipt had arrived"
    assert verdict.again == 1
    count_work(verdict, puts(one, record, two), [-1.0, 1.5])
    assert verdict.after_commit == [f"/b/out/{two}"]
    many = Passed(1.5, "PUT", "/b/out/_log/units/90000000.json", 200, b'{"replaces": [[0, 2]]}')
    verdict = compare(result(), result())
    count_work(verdict, [puts(one)[0], many, *puts(one, one, two)[2:]], [-1.0, 1.8])
    assert verdict.after_commit == [f"/b/out/{two}"], "the unit was committed with others"
    count_work(verdict, puts(one, record, record), [-1.0])
    assert verdict.doubled == ["commit record 00000001 was written twice"]


@pytest.fixture(scope="module")
def clean(stand: Stand) -> Result:
    return run_clean(stand, SHORT)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", SHORT_KINDS)
def test_kills_and_a_bad_network_lose_nothing_and_double_nothing(
    stand: Stand, clean: Result, kind: Kind
) -> None:
    dice = random.Random(7)
    account = Ordeal(stand, SHORT, kind, KILLS, dice).endure(clean)
    assert account.verdict is not None
    assert account.verdict.good, account.verdict.describe()
    assert not account.verdict.given_up
    assert account.kills >= 1, "no kill hit a live run"
    assert account.faults > 0
