"""Members of archives, and bringing those of one key together."""

from __future__ import annotations

import pytest

from pipelines.manifest.tars.members import Member, brought_together, lie_apart, split_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b.c/d.e.wav", ("a/b.c/d", ".e", ".wav")),
        ("x", ("x", "", "")),
        ("x.A.b.TXT", ("x", ".A.b", ".txt")),
        (".hidden", ("", "", ".hidden")),
    ],
)
def test_names(name: str, parts: tuple[str, str, str]) -> None:
    assert split_name(name) == parts


def _members(*names: str) -> list[Member]:
    return [Member(name, place, 1) for place, name in enumerate(names)]


def test_members_of_a_key_are_brought_together_in_the_order_of_the_first() -> None:
    apart = _members("b.txt", "d/a.json", "b.2.wav", "c.wav", "d/a.wav", "b.wav")
    names = [member.name for member in brought_together(iter(apart))]
    assert names == ["b.txt", "b.2.wav", "b.wav", "d/a.json", "d/a.wav", "c.wav"]
    assert {member.offset for member in brought_together(iter(apart))} == set(range(6))
    assert lie_apart(iter(apart))
    assert not lie_apart(brought_together(iter(apart)))
    assert list(brought_together(iter([]))) == []
