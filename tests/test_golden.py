"""Our model against the recorded numbers of the published one.

Every ``golden-*`` pair of the folder named by ``GOLDEN_DIR`` is checked; sizes, ids and weights
come from the files, so another set may be put in their place.
"""

from __future__ import annotations

import pytest

from tests.golden_checks import decoder, encoder, lm
from tests.golden_checks.vectors import GoldenPair, discover, golden_dir

CHECKS = {**encoder.CHECKS, **decoder.CHECKS, **lm.CHECKS}
CASES = [
    pytest.param(pair, name, id=f"{pair.path.stem}-{name}")
    for pair in discover()
    for name in CHECKS.get(pair.family, {"unknown family": None})
]


def test_vectors_are_there() -> None:
    assert CASES, f"no golden-*.json in {golden_dir()}"


@pytest.mark.parametrize(("pair", "name"), CASES)
def test_golden(pair: GoldenPair, name: str) -> None:
    checks = CHECKS.get(pair.family)
    assert checks is not None, f"no check for family {pair.family!r}; add it to golden_checks"
    checks[name](pair)
