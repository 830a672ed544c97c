"""Exit codes and arguments that the commands share."""

from __future__ import annotations

EXIT_FAILED, EXIT_USAGE = 1, 2


def open_address(value: str | None) -> str | None:
    """An address as it is given, refused if it holds a secret: it is printed and stored."""
    from pipelines.config.own_addresses import check_place

    check_place("address", value or "")
    return value
