"""`make_job`: a job of a file's settings, single ones and those given by name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.config.assignments import add_map, set_dotted
from pipelines.config.job import JobConfig
from pipelines.config.renamed import current_names
from pipelines.errors import UsageError
from uniaudio2.frozen import explain, yaml_fault


def read_config(path: str) -> dict[str, Any]:
    """Settings from a YAML file.

    Raises:
        UsageError: the file is absent or is no mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except OSError as fault:
        raise UsageError(f"config {path}: {fault}; a YAML file is needed") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise UsageError(f"config {path}: {yaml_fault(fault)}; correct it") from fault
    if not isinstance(values, dict):
        raise UsageError(f"config {path} holds a {type(values).__name__}; a mapping is needed")
    return values


def make_job(
    given: dict[str, Any],
    config: str | None = None,
    sets: tuple[str, ...] = (),
    recorded: dict[str, Any] | None = None,
    maps: tuple[str, ...] = (),
) -> JobConfig:
    """Put a job together: the file first, then ``--set``, then what was given by name.

    Args:
        given: settings by name; None for those that were not given.
        config: a YAML file of settings.
        sets: single settings, ``key=value``.
        recorded: settings of an earlier run, in the place of a file's.
        maps: columns of INPUT by new names, ``audio=path``, beside those of `manifest.map`.

    Raises:
        UsageError: unknown key (the nearest valid one is named), bad value, unknown task.
    """
    values = read_config(config) if config else copy.deepcopy(recorded or {})
    try:  # each by itself: what is set may stand in the file by its old name
        values = current_names(values, is_recorded=config is None)
    except ValueError as fault:
        raise UsageError(f"config {config}: {fault}") from fault
    if isinstance(values.get("input"), str):
        values["input"] = {"uri": values["input"]}  # so that its rules can be set beside it
    for assignment in sets:
        set_dotted(values, assignment)
    add_map(values, maps)
    if isinstance(values.get("input"), dict):  # rules by the name that people know
        rules = dict(values.pop("input"))
        if "uri" in rules:
            values["input"] = rules.pop("uri")
        values["input_rules"] = {**values.get("input_rules", {}), **rules}
    values.update({key: value for key, value in given.items() if value is not None})
    try:
        job = JobConfig(**values)
        job.spec.name  # noqa: B018 - an unknown task is refused here
    except ValidationError as fault:
        raise UsageError(explain(fault)) from fault
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    return job
