"""UniAudio 2.0, rebuilt for bulk work: `UniAudio2` encodes, generates and decodes."""

from typing import TYPE_CHECKING

from uniaudio2.errors import BadRow

if TYPE_CHECKING:
    from uniaudio2.entrypoints.model import UniAudio2
    from uniaudio2.tokens.codes import Codes

__all__ = ["BadRow", "Codes", "UniAudio2"]


def __getattr__(name: str) -> object:
    """Import torch when the model is asked for: looking at tasks and manifests needs none."""
    if name == "Codes":
        from uniaudio2.tokens.codes import Codes

        return Codes
    if name == "UniAudio2":
        from uniaudio2.entrypoints.model import UniAudio2

        return UniAudio2
    raise AttributeError(f"module 'uniaudio2' has no attribute {name!r}")
