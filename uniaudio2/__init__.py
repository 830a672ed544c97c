"""UniAudio 2.0, rebuilt for bulk work: `UniAudio2` encodes, generates and decodes."""

from uniaudio2.errors import BadRow
from uniaudio2.tokens.codes import Codes

__all__ = ["BadRow", "Codes", "UniAudio2"]


def __getattr__(name: str) -> object:
    """Import the model when it is asked for: reading a task table needs no torch modules."""
    if name == "UniAudio2":
        from uniaudio2.entrypoints.model import UniAudio2

        return UniAudio2
    raise AttributeError(f"module 'uniaudio2' has no attribute {name!r}")
