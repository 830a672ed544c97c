"""``uniaudio2 convert``: its mistakes are the user's, a full disk is the machine's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from uniaudio2.config import ModelConfig


def convert_model(
    source: str,
    target: str,
    dtype: Literal["float32", "bfloat16"],
    ignore: Sequence[str],
    small_codec: bool = False,
) -> ModelConfig:
    """Convert a published checkpoint folder; see `convert_published`.

    Raises:
        UsageError: a file, a setting or a tensor does not fit, or the target is taken.
        RunFailed: reading or writing failed; nothing is left behind.
    """
    from actors.storage.model_source import fetched_folder, is_remote

    try:
        folder = fetched_folder(source) if is_remote(source) else Path(source)
        if not folder.is_dir():
            raise UsageError(f"SRC {source!r} is not a folder; name a published checkpoint folder")
        import torch  # what is misspelt has been told by now

        from uniaudio2.checkpoint.published.convert import convert_published

        return convert_published(
            folder,
            Path(target),
            getattr(torch, dtype),
            ignore=tuple(ignore),
            small_codec=small_codec,
        )
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise RunFailed(f"{fault}; {target} was not made") from fault
