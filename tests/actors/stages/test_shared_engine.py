from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.stages.shared_engine import SharedEngine
from tests.uniaudio2.lm.small import CONFIG, audio_prompt, same, small_lm, text_prompt
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.generate import generate
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.sampling.sampling import Sampling

SAMPLING = Sampling(top_k=8, max_frames=14)


def requests(first: int, count: int) -> list[Request]:
    return [
        Request(text_prompt(2 + n % 5, n) if n % 2 else audio_prompt(1, 2, n), n, "audio")
        for n in range(first, first + count)
    ]


def test_calls_of_many_threads_share_the_slots_and_keep_their_answers() -> None:
    lm = small_lm()
    shared = SharedEngine(lambda: Engine(lm, SAMPLING, slots=6))
    assert shared.engine
    step = shared.engine.step
    seen: set[frozenset[int]] = set()

    def watched() -> None:
        step()
        # requests of one call have seeds of one ten
        seen.add(frozenset(one.request.seed // 10 for one in shared.engine.running))

    shared.engine.step = watched  # type: ignore[method-assign]
    calls = [requests(10 * n, 5) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(shared.generate, calls))
    for call, given in zip(calls, answers, strict=True):
        expected = generate(lm, call, SAMPLING)
        assert all(same(one, other) for one, other in zip(given, expected, strict=True))
    most = max(len(group) for group in seen)
    assert most > 1, "no two calls were ever in the slots together"


def test_other_work_is_done_between_steps_and_fails_alone() -> None:
    shared = SharedEngine(lambda: Engine(small_lm(), SAMPLING, slots=2))

    def fail() -> None:
        raise ValueError("of its own")

    with ThreadPoolExecutor(3) as pool:
        answers = pool.submit(shared.generate, requests(0, 4))
        failed, done = pool.submit(shared.run, fail), pool.submit(shared.run, threading.get_ident)
        assert done.result(60) not in (threading.get_ident(), None)
        with pytest.raises(ValueError, match="of its own"):
            failed.result(60)
        assert len(answers.result(60)) == 4
    assert shared.run(lambda: 3) == 3, "also where no request is under way"


def test_the_end_of_the_process_waits_for_the_step_that_is_being_made() -> None:
    """A thread that is ended within torch ends the process with SIGABRT, whatever its code was."""
    shared = SharedEngine(lambda: Engine(small_lm(), SAMPLING, slots=2))
    assert shared.engine
    step, begun, go_on = shared.engine.step, threading.Event(), threading.Event()

    def held() -> None:
        begun.set()
        assert go_on.wait(60)
        step()

    shared.engine.step = held  # type: ignore[method-assign]
    threading.Thread(target=shared.generate, args=(requests(0, 2),), daemon=True).start()
    assert begun.wait(60)
    threading.Timer(0.2, go_on.set).start()
    shared.end()
    assert go_on.is_set()
    assert shared._driver is not None
    assert not shared._driver.is_alive()


def test_nothing_asked_nothing_started() -> None:
    shared = SharedEngine(lambda: Engine(small_lm(), SAMPLING, slots=1))
    before = threading.active_count()
    assert shared.generate([]) == []
    assert threading.active_count() == before


def test_a_call_that_cannot_be_answered_fails_alone() -> None:
    shared = SharedEngine(lambda: Engine(small_lm(), SAMPLING, slots=2))
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(shared.generate, requests(0, 4))
        too_long = Request(text_prompt(CONFIG.context), 0, "audio")
        with pytest.raises(ValueError, match="64 positions"):
            pool.submit(shared.generate, [*requests(8, 2), too_long]).result()
        assert len(good.result()) == 4
    # nor is anything computed for it
    assert shared.engine
    assert not shared.engine.has_unfinished_requests()
    assert shared.engine.pop_finished_outputs() == {}


def test_a_fault_reaches_all_who_wait_and_the_next_call_gets_a_new_engine() -> None:
    lm, made = small_lm(), []

    def make() -> Engine:
        made.append(Engine(lm, SAMPLING, slots=2))
        if len(made) == 1:
            plain_step, steps = made[0].step, []

            def broken() -> None:
                plain_step()
                steps.append(time.sleep(0.5))  # until both calls have come
                if len(steps) == 2:
                    raise RuntimeError("device lost")

            made[0].step = broken  # type: ignore[method-assign]
        return made[-1]

    shared = SharedEngine(make)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(shared.generate, requests(n, 1)) for n in (1, 3)]
        faults = [call.exception(timeout=20) for call in waiting]
    assert [str(fault) for fault in faults] == ["device lost"] * len(faults)
    assert len(shared.generate(requests(0, 2))) == 2
    assert len(made) == 2


class _Broken(Engine):
    def step(self) -> None:
        super().step()
        batch = self.batch  # what a step holds in its frames
        assert batch is not None
        raise RuntimeError("out of memory")


def test_the_old_engine_is_gone_before_the_new_one_is_measured() -> None:
    lm = small_lm()
    old: list[weakref.ref[Engine]] = []
    alive_then: list[bool] = []

    def make() -> Engine:
        alive_then.extend(one() is not None for one in old)
        engine = (Engine if old else _Broken)(lm, SAMPLING, slots=2)
        old.append(weakref.ref(engine))
        return engine

    shared = SharedEngine(make)
    gc.disable()  # cycles must not be left to chance
    try:
        with pytest.raises(RuntimeError, match="out of memory") as caught:
            shared.generate(requests(0, 2))
        assert len(shared.generate(requests(0, 2))) == 2
    finally:
        gc.enable()
    assert caught.value.__traceback__  # the fault can still be read
    assert alive_then == [False]


@pytest.mark.slow
def test_where_no_engine_can_be_made_the_calls_that_wait_are_told() -> None:
    lm, made = small_lm(), []

    def make() -> Engine:
        made.append(len(made))
        if len(made) in (2, 3):
            raise MemoryError("no room for caches")
        return (Engine if len(made) > 1 else _Broken)(lm, SAMPLING, slots=2)

    shared = SharedEngine(make)
    with pytest.raises(RuntimeError, match="out of memory"):
        shared.generate(requests(0, 1))
    for _ in range(2):
        with ThreadPoolExecutor(1) as pool, pytest.raises(MemoryError, match="no room"):
            pool.submit(shared.generate, requests(0, 1)).result(timeout=20)
    assert len(shared.generate(requests(0, 2))) == 2
    assert len(made) == 4
