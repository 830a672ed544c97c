from __future__ import annotations

from actors.batch.receipt import Receipt
from actors.batch.stage_times import StageTime
from pipelines.forecast.probe import apart, probed


def receipt(unit: int, worker: str, begin: float) -> Receipt:
    calls = tuple(StageTime(name, worker, begin + n, 0.5, 4) for n, name in enumerate(STAGES))
    return Receipt(unit, 4, 0, {"data/x": [7, "0"], "audio/y": [90, "0"]}, {}, stages=calls)


STAGES = ("load", "encode", "encode", "write")


def test_the_first_unit_of_each_worker_is_its_start() -> None:
    quick = [receipt(n, "quick", 10.0 + n) for n in (0, 1, 2)]
    late = [receipt(n, "late", 20.0 + n) for n in (3, 4)]
    first, others = apart([quick[1], quick[0], late[1], quick[2], late[0]])
    assert {one.unit for one in first} == {0, 3}
    assert {one.unit for one in others} == {1, 2, 4}
    assert apart(quick[:1]) == (quick[:1], quick[:1])


def test_what_a_receipt_tells() -> None:
    found = probed(receipt(1, "w", 0.0), 5, "nowhere", told_s=3.0)
    assert found.busy_s == {"load": 0.5, "encode": 1.0, "write": 0.5}
    assert (found.rows, found.objects, found.bytes, found.told_s) == (5, 2, 97, 3.0)
