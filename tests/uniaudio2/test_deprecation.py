"""Arguments of yesterday work, and say what they are called now."""

from __future__ import annotations

import pytest
import torch

from uniaudio2 import UniAudio2
from uniaudio2.deprecation import renamed_argument


@renamed_argument("old", "new")
def twice(new: int) -> int:
    """Two of it."""
    return 2 * new


def test_the_former_name_is_accepted_and_said() -> None:
    with pytest.warns(DeprecationWarning, match="twice: old is called new"):
        assert twice(old=3) == 6  # type: ignore[call-arg]
    assert twice(new=3) == twice(3) == 6
    with pytest.raises(TypeError, match="old and new are one argument"):
        twice(old=3, new=3)  # type: ignore[call-arg]


def test_encode_takes_context_as_padding() -> None:
    model = UniAudio2.load("tiny", parts=("encoder",))
    clip = torch.zeros(4800)
    with pytest.warns(DeprecationWarning, match="context is called padding"):
        (old,) = model.encode([clip], context="tight")  # type: ignore[call-arg]
    (new,) = model.encode([clip], padding="tight")
    assert torch.equal(old.recon, new.recon)
