"""Good files with something wrong, for tests of readers."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes of a file, some of which were changed, lost, put in or cut off."""
    spoiled = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(spoiled)))
        kind = draw(st.sampled_from(("change", "lose", "insert", "cut", "repeat")))
        if kind == "change":
            some = draw(st.binary(min_size=1, max_size=8))
            spoiled[place : place + len(some)] = some
        elif kind == "lose":
            del spoiled[place : place + draw(st.integers(1, 64))]
        elif kind == "insert":
            spoiled[place:place] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "repeat":
            spoiled[place:place] = spoiled[place : place + draw(st.integers(1, 64))]
        else:
            del spoiled[place:]
    return bytes(spoiled)
