"""What a user did wrong, and what stopped a run; each has its exit code."""

from __future__ import annotations


class UsageError(Exception):
    """Wrong use: one line with value, rule and remedy. Exit code 2."""


class RunFailed(Exception):
    """The run itself stopped; the same command goes on where it was. Exit code 1."""
