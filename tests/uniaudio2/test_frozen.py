"""Settings that are wrong are told in one line, whatever is in them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from uniaudio2.frozen import Frozen, explain, known, nearest

HOSTILE = "\x1b[31m\u202ered\n"


class Settings(Frozen):
    size: int = 1


def test_names_of_others_are_shown() -> None:
    assert nearest("zzz", [HOSTILE, "b"]) == "valid names: \\x1b[31m\\u202ered\\n, b"
    assert nearest(HOSTILE, [HOSTILE]) == "did you mean '\\x1b[31m\\u202ered\\n'?"
    with pytest.raises(ValueError, match="is unknown") as found:
        known(HOSTILE, ["a"], "tag")
    assert str(found.value).isprintable()
    assert len(nearest("zzz", [f"name {n}" for n in range(10_000)])) < 3000


@pytest.mark.parametrize("values", [{"size": HOSTILE}, {HOSTILE: 1}, {"size": [HOSTILE] * 100}])
def test_wrong_values_are_shown(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as found:
        Settings.model_validate(values)
    said = explain(found.value)
    assert said.isprintable()
    assert len(said) < 300
    if "size" in values:
        assert "is not valid: input should be" in said
