"""Every node of a cluster looks at code, disks and clocks before the first unit."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.causes import RAY_JOIN, stopped
from pipelines.errors import UsageError
from pipelines.executor.nodes.compare import (
    CODE,
    PACKAGES,
    Needs,
    Probed,
    clock_of_store,
    summary,
)
from pipelines.executor.nodes.examine import Examined, examine, working_nodes
from pipelines.executor.nodes.look import Look, Question, look, size_of
from pipelines.executor.nodes.store_clock import store_ahead_s
from uniaudio2.checkpoint.folders import bundled_models
from uniaudio2.shown import counted

_JOINS_S = 20.0
SILENT_REMEDY = "see whether it is well, or take it out of the cluster"
_STORE_S = 2.0
_REFUSALS_TOLD = 3
_MODEL_FILES = 1000


def probe_nodes(needs: Needs, known: Collection[str] | None = None) -> Probed:
    """Refuse a cluster whose nodes would not all do the same.

    Nodes that share no disk would read nothing of INPUT, and would write the parts of OUTPUT where
    nobody looks for them; nodes of another build would give other results. All are asked at once.

    Args:
        needs: of the run.
        known: ids of those that count; None for all that are there.

    Raises:
        UsageError: names the node, what is wrong there and what to do.
        RunFailed: a node does not answer.
    """
    ahead: list[float | None] = [None]
    clock = Thread(target=lambda: ahead.append(store_ahead_s(needs.output)), daemon=True)
    clock.start()
    with marked(needs) as marker:
        asked = question_of(needs)._replace(asked=marker, says=marker)
        here = Look(*look(asked))  # its own mark is there
        found = examine(_first_nodes(known), needs, asked, here)
    _refuse(found)
    clock.join(_STORE_S)
    warnings = [*clock_of_store(ahead[-1]), *(line for one in found for line in one.warnings)]
    off_s = [abs(there.clock_s - one.answered_s) for one in found if (there := one.look)]
    line = summary(needs, here, len(warnings), max(off_s, default=0.0))
    return Probed(
        tuple(one.facts() for one in found),
        f"{counted(len(found), 'node')}: {line}" if found else "no node has joined yet",
        tuple(warnings),
    )


def question_of(needs: Needs) -> Question:
    """What nodes are asked for a run, but for the mark in OUTPUT."""
    paths = [path for place in needs.inputs if scheme_of(place) in LOCAL for path in _seen(place)]
    is_remote = "://" in needs.model and scheme_of(needs.model) not in LOCAL
    folder = "" if is_remote or needs.model in ("", *bundled_models()) else needs.model
    return Question(
        code=CODE,
        packages=PACKAGES,
        paths=tuple(dict.fromkeys(paths)),
        model=folder,
        model_files=tuple(itertools.islice(_files(folder), _MODEL_FILES)) if folder else (),
        remote_model=needs.model if is_remote else "",
    )


def _seen(place: str) -> list[str]:
    """A path and, of a folder, one thing in it: an empty folder of that name is another."""
    path = local_path(place)
    if not os.path.isdir(path):
        return [path]
    with os.scandir(path) as entries:
        return [path, *(entry.path for entry in itertools.islice(entries, 1))]


def _files(folder: str) -> Iterator[str]:
    """Files that a model is loaded from, its configuration first."""
    paths = [path for path in Path(folder).rglob("[!.]*") if path.suffix != ".md"]
    for path in sorted(paths, key=lambda path: (path.name != "config.json", path)):
        if path.is_file() and size_of(str(path)) is not None:
            yield path.relative_to(folder).as_posix()


@contextmanager
def marked(needs: Needs) -> Iterator[str]:
    """A file in a local OUTPUT that no other folder has; "" where OUTPUT is on a store."""
    if scheme_of(needs.output) not in LOCAL:
        yield ""
        return
    # named as what a driver leaves there that dies: the next run removes it
    marker = os.path.join(local_path(needs.output), "_log", f"fence-{uuid.uuid4().hex}")
    try:
        Path(marker).write_text(marker)
        yield marker
    finally:
        Path(marker).unlink(missing_ok=True)


def _first_nodes(known: Collection[str] | None) -> list[Mapping[str, Any]]:
    """Nodes to work with; where there is none yet, it may be about to join."""
    until = time.monotonic() + _JOINS_S
    while True:
        nodes = [n for n in working_nodes() if known is None or n["NodeID"] in known]
        if nodes or known is not None or time.monotonic() > until:
            return nodes
        time.sleep(0.5)


def _refuse(found: Sequence[Examined]) -> None:
    """Raise what is refused, a few of it."""
    silent = [one.silent for one in found if one.silent]
    if silent:
        more = _and_more(len(silent) - 1, len(found))
        raise stopped(RAY_JOIN, silent[0] + more, SILENT_REMEDY)
    refused = [one.refused[0] for one in found if one.refused]
    if refused:
        more = _and_more(len(refused) - _REFUSALS_TOLD, len(found))
        raise UsageError("; ".join(refused[:_REFUSALS_TOLD]) + more)


def _and_more(count: int, nodes: int) -> str:
    return f" (and {count} more of {nodes} nodes)" if count > 0 else ""
