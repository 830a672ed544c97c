"""``uniaudio2 inspect INPUT``: what is understood of a manifest or a folder, as text or JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actors.batch.error_rows import json_value
from actors.storage.model_cache import list_folder
from pipelines.config.assignments import add_map, set_dotted
from pipelines.config.input_settings import InputRules, ManifestConfig
from pipelines.errors import UsageError
from pipelines.manifest.formats.kinds import is_manifest
from pipelines.manifest.overview import Overview, overview_of
from pipelines.manifest.tables.scan import Scan
from uniaudio2.checkpoint import layout
from uniaudio2.checkpoint.layout import are_published
from uniaudio2.frozen import explain
from uniaudio2.shown import listed, shown
from uniaudio2.terminal import say, say_json

_VALUE_CHARACTERS = 10_000
_CELL_CHARACTERS = 120
_MOST_COLUMNS, _MOST_TASKS = 100, 8


def is_input(source: str) -> bool:
    """Tell a manifest or a folder of rows from a model, by its name or by the files in it.

    Raises:
        UsageError: it is an OUTPUT, which other commands tell of.
    """
    if _is_bundled(source):
        return False
    if any(wildcard in source for wildcard in "*?[") or is_manifest(source):
        return True
    if source.startswith("hf://datasets/"):
        return True
    if "://" in source and not source.startswith("file://"):
        names = _remote_names(source)
        return bool(names) and not _are_of_model(names)
    path = Path(source.removeprefix("file://"))
    if not path.is_dir():
        return path.is_file()
    if (path / "run.json").is_file() and (path / "data").is_dir():
        raise UsageError(
            f"{source} is an OUTPUT: `uniaudio2 status {source}` tells of it, and the rows of its "
            f"results are INPUT by the name of {source}/data"
        )
    return not _are_of_model(os.listdir(path))


def _is_bundled(source: str) -> bool:
    return (Path(layout.__file__).parents[1] / "models" / source / "config.json").is_file()


def _are_of_model(names: Collection[str]) -> bool:
    return "config.json" in names or are_published(names)


def _remote_names(source: str) -> Collection[str]:
    """Names of a store's files; none where it does not answer, which others say better."""
    try:
        return list_folder(source).keys()
    except (ValueError, OSError):
        return ()


def show_input(
    uri: str, sets: tuple[str, ...] = (), maps: tuple[str, ...] = (), as_json: bool = False
) -> None:
    """Print what is understood of an INPUT.

    Args:
        uri: INPUT.
        sets: settings of a job, ``key=value``.
        maps: columns by new names, ``audio=path``.
        as_json: print it as one line of JSON.

    Raises:
        UsageError: nothing is there, its kind is not known, or it has no rows; a bad setting.
    """
    found = overview_of(uri, _scan_of(sets, maps))
    first_row = json_value(dict(found.first_row), _CELL_CHARACTERS)
    if as_json:
        say_json({"event": "input", **asdict(found), "first_row": first_row})
    else:
        say(two_columns(list(_lines(found, first_row))), lines=True)


def _scan_of(sets: tuple[str, ...], maps: tuple[str, ...]) -> Scan:
    """What settings of a job say of how INPUT is read."""
    values: dict[str, Any] = {}
    for assignment in sets:
        set_dotted(values, assignment)
    add_map(values, maps)
    if others := values.keys() - {"manifest", "input"}:
        raise UsageError(
            f"--set {listed(sorted(others))}: inspect looks at INPUT alone; settings of manifest "
            "and input are all that it takes"
        )
    try:
        rules = InputRules.model_validate(values.get("input", {}))
        return ManifestConfig.model_validate(values.get("manifest", {})).scan(rules)
    except ValidationError as fault:
        raise UsageError(explain(fault)) from fault


def two_columns(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values, a line each; a name that is "" goes on with the one above it."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {shown(value, _VALUE_CHARACTERS)}" for name, value in rows)


def _lines(found: Overview, first_row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "input", found.uri
    files = sum(found.kinds.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
    yield "kind", kinds if files > 1 else next(iter(found.kinds))
    how = "" if found.rows_are == "exact" else f"{found.rows_are} "
    yield "rows", f"{how}{found.rows:,}"
    if found.faults:
        yield "unreadable", f"{found.faults} of the rows that were looked at"
    width = max((len(shown(column.name, 60)) for column in found.columns), default=0)
    for number, column in enumerate(found.columns[:_MOST_COLUMNS]):
        name, kind = shown(column.name, 60), shown(column.kind, _CELL_CHARACTERS)
        yield "" if number else "columns", f"{name:<{width}}  {kind}: {column.use}"
    if len(found.columns) > _MOST_COLUMNS:
        yield "", f"and {len(found.columns) - _MOST_COLUMNS} more"
    yield (
        "tasks",
        listed(found.tasks, _MOST_TASKS) or "none: the columns that they need are not there",
    )
    for line in found.left_out:
        yield "left out", line
    for line in found.notes:
        yield "note", line
    for number, (name, value) in enumerate(first_row.items()):
        told = json.dumps(value, ensure_ascii=False)
        yield "" if number else "first row", f"{shown(name, 60)}: {shown(told, _CELL_CHARACTERS)}"
        if number == _MOST_COLUMNS:
            return
