"""Rows of the errors table: strict JSON of bounded size, whatever the row holds."""

from __future__ import annotations

import json

import pytest

from actors.batch.error_rows import input_json


def test_bytes_are_not_copied_into_the_errors_table() -> None:
    assert json.loads(input_json({"audio": b"123", "text": "é"})) == {
        "audio": "<3 bytes>",
        "text": "é",
    }


def test_input_rows_are_strict_json_of_bounded_size() -> None:
    row = {"a": float("nan"), "b": [float("inf")], "c": "x" * 100_000, "d": list(range(20_000))}
    text = input_json(row | {"e": {"f": None, "g": True}})
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (found["a"], found["b"], found["e"]) == ("nan", ["inf"], {"f": None, "g": True})
    assert len(text) < 11_000
    assert found["c"].endswith("<100000 characters>")
