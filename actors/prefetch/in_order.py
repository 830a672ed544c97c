"""Work on many things at once, whose results come in the order of the things."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Span = tuple[int, int]
T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4  # results that wait, by thread


def in_order(
    function: Callable[[T], R],
    things: Iterable[T],
    threads: int,
    weight: Callable[[T], int] = lambda _: 0,
    most: int = 1,
) -> Iterator[R]:
    """What a function makes of each thing, some of them at once.

    Whatever the threads' timing, what comes out is what a loop would give: the results in the order
    of the things, then the fault of the first that has one.

    Args:
        function: is called in threads.
        things: to work on.
        threads: calls at once; 1 calls it where this is called.
        weight: of a thing.
        most: no other call begins while those whose result was not taken weigh more together.
    """
    if threads <= 1:
        yield from map(function, things)
        return
    waiting: deque[tuple[Future[R], int]] = deque()
    weighs = 0
    pool = ThreadPoolExecutor(threads)
    try:
        for thing in things:
            heavy = weight(thing)
            while waiting and (weighs + heavy > most or len(waiting) >= _AHEAD * threads):
                result, before = waiting.popleft()
                yield result.result()
                weighs -= before
            waiting.append((pool.submit(function, thing), heavy))
            weighs += heavy
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def spans_ahead(spans: Sequence[Span], first: int, most: int, most_bytes: int) -> range:
    """Which of some spans of bytes are read together: one, and those behind it.

    Args:
        spans: first byte of each and the one behind its last.
        first: number of the one that is wanted.
        most: number of spans.
        most_bytes: of all of them, but for the first.
    """
    last, size = first, 0
    while last < min(first + most, len(spans)):
        size += spans[last][1] - spans[last][0]
        if last > first and size > most_bytes:
            break
        last += 1
    return range(first, last)
