"""Look at the places that a job names, as far as that needs no tensor and no table: a misspelt path
is told at once."""

from __future__ import annotations

import os
from pathlib import Path

from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.config.job import JobConfig
from pipelines.config.own_addresses import check_addresses
from pipelines.errors import UsageError
from uniaudio2.checkpoint.folders import model_folder
from uniaudio2.checkpoint.layout import is_published

_PATTERN = "*?[{"  # of names that stand for several files


def check_places(job: JobConfig) -> None:
    """Refuse a job whose files are not there; what is elsewhere is looked at when it is read.

    Raises:
        UsageError: an address cannot serve, INPUT, the model or a file of prompts is absent, or
            OUTPUT is a file.
    """
    check_addresses(job)
    _check_input(job.input)
    _check_output(job.output)
    _check_model(job.model)
    job.instructions  # noqa: B018 - a file of prompts that does not serve is refused here


def _is_plain(uri: str) -> bool:
    return scheme_of(uri) in LOCAL


def _check_input(uri: str) -> None:
    if not _is_plain(uri) or any(sign in uri for sign in _PATTERN):
        return
    if not os.path.lexists(local_path(uri)):
        raise UsageError(f"{uri}: no such file or folder; check the path and the endpoint")


def _check_output(uri: str) -> None:
    if _is_plain(uri) and os.path.isfile(local_path(uri)):
        raise UsageError(f"OUTPUT {uri} is a file; give a folder")


def check_is_there(source: str) -> None:
    """Refuse a path that is neither a bundled model nor anything of this disk; patterns and what is
    elsewhere pass.

    Raises:
        UsageError: names the bundled models.
    """
    is_pattern = any(sign in source for sign in _PATTERN)
    if _is_plain(source) and not is_pattern and not os.path.lexists(local_path(source)):
        _check_model(source)


def _check_model(source: str) -> None:
    if "://" in source or is_published(Path(source)):
        return
    try:
        model_folder(source)
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
