"""The one outcome of a stage's table, for tests that call stages by themselves."""

from __future__ import annotations

import pyarrow as pa

from actors.batch.receipt import Fault, Receipt, outcomes


def receipt_of(table: pa.Table) -> Receipt:
    """What the writer returned."""
    (outcome,) = outcomes(table)
    assert isinstance(outcome, Receipt)
    return outcome


def fault_of(table: pa.Table) -> Fault:
    """What a boundary made of an exception."""
    (outcome,) = outcomes(table)
    assert isinstance(outcome, Fault)
    return outcome
