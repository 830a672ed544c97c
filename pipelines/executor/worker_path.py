"""Where Ray's workers look for modules: where the driver does, and nowhere else.

Ray puts the folder that a driver was started in first on its workers' path. A corpus, or any
project, may hold a package named `actors` or `pipelines`, or a `torch.py`; whoever runs our command
from there would have it run in every worker.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path

from ray.job_config import JobConfig

from pipelines.executor.ray_internals import set_search_path

_HOME = Path(__file__).resolve().parents[2]


class DriversPath(JobConfig):  # type: ignore[misc] # ray ships no types
    """A job whose workers search our own checkout, and then what the driver itself searches of the
    folder it was started in."""

    def __init__(self) -> None:
        super().__init__()
        set_search_path(self, search_path())

    def _runtime_env_has_working_dir(self) -> bool:
        """Keep Ray from adding the driver's folders: it adds none where it takes them along."""
        return True


def search_path() -> list[str]:
    """Folders for workers to search before their own: our checkout, unless it is where packages
    are installed anyway, and the driver's folder, if the driver searches it first too."""
    folders = [] if _is_searched_anyway(_HOME) else [str(_HOME)]
    here = os.path.abspath(os.path.curdir)
    first = sys.path[: _standard_library(sys.path)]  # what lies behind it cannot be put there
    if here not in folders and {"", ".", here}.intersection(first):
        folders.append(here)
    return folders


def _standard_library(path: list[str]) -> int:
    """Where the standard library stands in a search path."""
    home = sysconfig.get_paths()["stdlib"]
    return path.index(home) if home in path else len(path)


def _is_searched_anyway(folder: Path) -> bool:
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    installed += sysconfig.get_paths().values()
    return folder in {Path(one).resolve() for one in installed}
