"""Settings that are given one by one on the command line."""

from __future__ import annotations

from typing import Any

import yaml

from pipelines.config.renamed import current_name
from pipelines.errors import UsageError


def set_dotted(values: dict[str, Any], assignment: str) -> None:
    """Set what ``--set`` gives, ``key.key=value``, in groups of settings.

    Raises:
        UsageError: it does not look like that, or a group is a value.
    """
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {assignment!r} must look like key=value, e.g. sampling.top_k=20")
    *parents, last = current_name(key.strip()).split(".")
    group = values
    for parent in parents:
        inner = group.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {assignment!r}: {parent!r} is a value, not a group of keys")
        group = inner
    try:
        # a sign by itself, such as a delimiter, is none of YAML's
        is_sign = len(text) == 1 and not text.isalnum() and text != "~"
        group[last] = text if is_sign else yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise UsageError(f"--set {assignment!r}: {text!r} is not a YAML value") from fault


def add_map(values: dict[str, Any], maps: tuple[str, ...]) -> None:
    """Add what ``--map`` gives, ``audio=path``, to the settings of the manifest.

    Raises:
        UsageError: it does not look like that, or a name is given twice.
    """
    given: dict[str, str] = {}
    for assignment in maps:
        name, separator, column = assignment.partition("=")
        if not separator or not name.strip() or not column:
            raise UsageError(f"--map {assignment!r} must look like audio=path: NAME=COLUMN")
        if given.setdefault(name.strip(), column) != column:
            raise UsageError(f"--map {name.strip()} is given twice; one column can have that name")
    if given:
        manifest = values.setdefault("manifest", {})
        if not isinstance(manifest, dict) or not isinstance(manifest.get("map", {}), dict):
            raise UsageError("manifest and manifest.map are groups of settings; correct them")
        manifest["map"] = {**manifest.get("map", {}), **given}
