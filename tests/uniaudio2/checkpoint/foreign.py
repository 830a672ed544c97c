"""Objects of a training framework that is not installed, as its checkpoints hold them."""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

MODULE = "training_framework.settings"


def save_with_settings(path: Path, build: Callable[[Callable[..., Any]], Any]) -> None:
    """Save what `build` makes of a settings class whose module is gone when this returns.

    Args:
        path: the torch file.
        build: takes the class (its instances keep every keyword they are given).
    """
    module = types.ModuleType(MODULE)

    class Settings:
        def __init__(self, **given: Any) -> None:
            self.__dict__.update(given)

    Settings.__module__, Settings.__qualname__ = MODULE, "Settings"
    module.Settings = Settings  # type: ignore[attr-defined]
    sys.modules[MODULE.split(".")[0]] = types.ModuleType(MODULE.split(".")[0])
    sys.modules[MODULE] = module
    try:
        torch.save(build(Settings), path)
    finally:
        del sys.modules[MODULE], sys.modules[MODULE.split(".")[0]]


def settings_of(make: Callable[..., Any], **more: Any) -> dict[str, Any]:
    """What such a checkpoint holds beside its weights."""
    return {
        "args": argparse.Namespace(lr=[0.1], task=make(name="pretraining")),
        "cfg": make(model=make(depth=12, kind=argparse.Namespace(a=1)), paths=[Path("x")], **more),
        "extra_state": {"epoch": 7, "metrics": make(best=0.5)},
        "last_optimizer_state": {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}},
    }
