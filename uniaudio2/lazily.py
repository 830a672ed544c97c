"""torch and torchaudio, imported when they are first used.

A process that plans, commits or writes text needs neither, and torch costs it a second and 150 MB.
What multiplies imports torch itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
    import torchaudio as torchaudio
else:

    class _OnUse:
        """Stands for a module of which an attribute has not been asked for yet."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    torch = _OnUse("torch")
    torchaudio = _OnUse("torchaudio")
