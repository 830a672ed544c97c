"""Every random draw of a row comes from one number: a hash of the job's seed and the row's id."""

from __future__ import annotations

import hashlib


def row_seed(job_seed: int, row_id: str, purpose: str = "") -> int:
    """Derive the seed of a row, the same on every machine, order and batch size.

    Args:
        job_seed: the seed of the run.
        row_id: the row's id.
        purpose: separates independent streams of one row (``"sample"``, ``"noise"``).

    Returns:
        An integer in ``[0, 2**63)``.
    """
    text = f"{job_seed}\x00{purpose}\x00{row_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def attempt_seed(job_seed: int, attempt: int) -> int:
    """The seed that stands in the job's place when a row is made again.

    Args:
        job_seed: the seed of the run.
        attempt: how often the row was made before; the first draw, 0, has the job's own seed.
    """
    return row_seed(job_seed, str(attempt), "attempt") if attempt else job_seed
