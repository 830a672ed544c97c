"""Rows of a plan among those of an OUTPUT, in memory and by shares in a file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.planning.keys.matching import PlacedKeys, match
from pipelines.planning.keys.row_keys import KEY_BYTES, key_array, row_key

# ids by number, with one of two contents and one of three stamps, of which zeros agree with all
ROWS = st.dictionaries(
    st.integers(0, 60),
    st.tuples(st.integers(0, 1), st.sampled_from([bytes(4), b"\0\0\0\1", b"\0\0\0\2"])),
)


def placed(rows: dict[int, tuple[int, bytes]], most: int, by: int) -> PlacedKeys:
    keys = [row_key(f"id-{name}", str(content), stamp) for name, (content, stamp) in rows.items()]
    found = PlacedKeys(most)
    for start in range(0, len(keys), by):
        found.add(b"".join(keys[start : start + by]))
    return found


@given(wanted=ROWS, there=ROWS, most=st.integers(1, 80), by=st.integers(1, 9))
def test_rows_are_matched_by_id_and_content(
    wanted: dict[int, tuple[int, bytes]],
    there: dict[int, tuple[int, bytes]],
    most: int,
    by: int,
) -> None:
    found = match(placed(wanted, most, by), placed(there, most, by))
    same, changed, before = [], [], []
    for place, (name, (content, stamp)) in enumerate(wanted.items()):
        old = there.get(name)
        agree = old is not None and old[0] == content
        agree = agree and (old is None or stamp == old[1] or bytes(4) in (stamp, old[1]))
        same.append(bool(agree))
        if old is not None and not agree:
            changed.append(place)
            before.append(list(there).index(name))
    gone = [place for place, name in enumerate(there) if name not in wanted]
    assert found.is_same.tolist() == same
    assert (found.changed.tolist(), found.before.tolist()) == (changed, before)
    assert found.gone.tolist() == gone
    keys = [row_key(f"id-{name}", str(one), stamp) for name, (one, stamp) in there.items()]
    assert found.gone_keys.tobytes() == b"".join(keys[place] for place in gone)


def test_no_share_holds_all() -> None:
    keys = PlacedKeys(100)
    rows = b"".join(row_key(f"id-{number}", "") for number in range(2000))
    for start in range(0, len(rows), 30 * KEY_BYTES):
        keys.add(rows[start : start + 30 * KEY_BYTES])
    shares = [(len(some), places) for some, places in keys.shares()]
    assert max(size for size, _ in shares) < 2000 // 20
    assert sorted(place for _, places in shares for place in places.tolist()) == list(range(2000))
    assert len(keys) == len(key_array([rows])) == 2000
