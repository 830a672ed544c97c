"""Models in ONNX files that packages bring; the packages themselves are not imported.

Importing some of them changes the process: one sets torch to a single thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
_ERRORS_ONLY = 3


def package_file(package: str, path: str) -> Path:
    """A file that a package brings, found without importing it.

    Raises:
        FileNotFoundError: the package is not installed, or has no such file.
    """
    found = find_spec(package)
    folders = list(found.submodule_search_locations or ()) if found else []
    for folder in folders:
        if (file := Path(folder) / path).is_file():
            return file
    raise FileNotFoundError(f"package {package!r} with its file {path} is not installed")


class OnnxModel:
    """One model on one CPU thread: its figures depend on neither neighbours nor threads.

    Args:
        file: where it is.
    """

    def __init__(self, file: Path) -> None:
        import onnxruntime  # an extra of its own

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(
            str(file), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def run(self, values: Mapping[str, Array]) -> list[Array]:
        """Outputs in their order, of inputs by name; may be called from many threads."""
        return cast(list[Array], self._session.run(None, cast(Any, dict(values))))
