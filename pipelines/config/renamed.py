"""Settings that had another name: the old one still works in YAML files, in ``--set``, in Python
and in the ``run.json`` of earlier runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from uniaudio2.shown import quoted
from uniaudio2.terminal import say

RENAMED = {"encode.context": "encode.padding"}
"""Old name to today's name, dotted, with the group of settings in front."""
_ABSENT = object()


def current_name(key: str) -> str:
    """Today's name of a setting that a user wrote, dotted; says so where it had another."""
    if key not in RENAMED:
        return key
    _say_once(key, RENAMED[key])
    return RENAMED[key]


def current_names(values: Any, group: str = "", is_recorded: bool = False) -> Any:
    """Settings by today's names.

    Args:
        values: settings by name, groups of them as mappings; what is no mapping comes back as it
            is.
        group: the group that they are of, such as ``"encode"``; "" for a whole job.
        is_recorded: an earlier run wrote them, and no user need change them; else a line says what
            a setting's name is today, once for each.

    Raises:
        ValueError: a setting is given by both names.
    """
    if not isinstance(values, Mapping):
        return values
    begin = f"{group}." if group else ""
    for old, new in RENAMED.items():
        if not (old.startswith(begin) and new.startswith(begin)):
            continue
        path, target = (name.removeprefix(begin).split(".") for name in (old, new))
        value = _get(values, path)
        if value is _ABSENT:
            continue
        if _get(values, target) is not _ABSENT:
            raise ValueError(
                f"{quoted(old)} is the old name of {quoted(new)}, and both are given; "
                f"leave {quoted(old)} out"
            )
        if not is_recorded:
            _say_once(old, new)
        values = _with(_with(values, path, _ABSENT), target, value)
    return values


@cache
def _say_once(old: str, new: str) -> None:
    message = f"setting {quoted(old)} is called {quoted(new)} today; the old name still works"
    say(message, error=True)


def _get(values: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return _ABSENT
        values = values[key]
    return values


def _with(values: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of nested settings in which one has another value; `_ABSENT` takes it out."""
    key, *inner = path
    changed = dict(values)
    if inner:
        changed[key] = _with(changed.get(key) or {}, inner, value)
    elif value is _ABSENT:
        del changed[key]
    else:
        changed[key] = value
    return changed
