"""Whose voice it is: the speaker encoder of `resemblyzer`, from the weights of its package.

Source: the package's own network and its cutting of a wave into pieces of 1.6 s. The package is
not imported: it needs `webrtcvad` and `librosa`, which nothing here does.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from uniaudio2.checkpoint.published.pickles import read_tensors
from uniaudio2.codec.mel import WHISPER_HOP, mel_power_16k
from uniaudio2.scores.models.onnx_model import Array, package_file

VOICE_RATE = 16_000
PIECE_FRAMES = 160  # of 10 ms, that the network hears at once
_BINS, _WIDTH, _LAYERS = 40, 256, 3
_STEP_FRAMES = 77  # from one piece to the next: 1.3 a second
_LEAST_COVERED = 0.75  # of the last piece of several
_PIECES_AT_ONCE = 64


class _Network(nn.Module):
    """Three LSTM layers over mel bands, and one linear layer; names are those of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BINS, _WIDTH, _LAYERS, batch_first=True)
        self.linear = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, mels: Tensor) -> Tensor:
        """Vectors of unit length, ``[P, 256]``, of pieces ``[P, 160, 40]``."""
        _, (hidden, _) = self.lstm(mels)  # [layers, P, 256]
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


class VoiceEncoder:
    """The loaded network; may be called from many threads."""

    def __init__(self) -> None:
        weights = read_tensors(package_file("resemblyzer", "pretrained.pt"), "model_state")
        self._network = _Network()
        wanted = self._network.state_dict().keys()
        self._network.load_state_dict({name: weights[name] for name in weights.keys() & wanted})
        self._network.eval()

    @torch.inference_mode()
    def embed(self, wave: Array) -> Array:
        """The vector of a voice.

        Args:
            wave: ``[N]`` float32 of speech, mono, 16 kHz, N > 0; its level matters.

        Returns:
            ``[256]`` float32 of unit length, no value below 0.
        """
        starts = pieces_of(len(wave))
        samples = (starts[-1] + PIECE_FRAMES) * WHISPER_HOP
        padded = np.pad(wave, (0, max(samples - len(wave), 0)))
        mel = mel_power_16k(torch.from_numpy(padded)[None], _BINS)[0].T  # [F, 40]
        pieces = torch.stack([mel[start : start + PIECE_FRAMES] for start in starts])
        vectors = torch.cat([self._network(some) for some in torch.split(pieces, _PIECES_AT_ONCE)])
        embedding: Array = nn.functional.normalize(vectors.mean(dim=0), dim=0).numpy()
        return embedding


def pieces_of(samples: int) -> list[int]:
    """Where pieces begin, in frames of 10 ms; the last of several is mostly sound.

    Args:
        samples: of the wave, at 16 kHz.
    """
    frames = -(-(samples + 1) // WHISPER_HOP)
    starts = list(range(0, max(1, frames - PIECE_FRAMES + _STEP_FRAMES + 1), _STEP_FRAMES))
    covered = samples / WHISPER_HOP - starts[-1]
    if len(starts) > 1 and covered < _LEAST_COVERED * PIECE_FRAMES:
        starts.pop()
    return starts


@lru_cache(maxsize=1)
def voice_encoder() -> VoiceEncoder:
    """The encoder of this process, loaded when it is first asked for.

    Raises:
        FileNotFoundError: package `resemblyzer` is not installed.
    """
    return VoiceEncoder()
