"""The three frozen encoders side by side: Whisper, WavLM and MusicFM on the same waves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torchaudio.transforms
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.encoders.settings import WavLMSettings, WhisperSettings
from uniaudio2.codec.encoders.wavlm import WavLM
from uniaudio2.codec.encoders.whisper import WhisperEncoder
from uniaudio2.codec.mel import WHISPER_HOP, WHISPER_RATE, whisper_log_mel
from uniaudio2.codec.music import MusicFM
from uniaudio2.codec.stock_layers import whisper_layer
from uniaudio2.codec.wavlm import wavlm_average
from uniaudio2.config import CodecConfig
from uniaudio2.runtime.frame_conv import pack_patch_convs
from uniaudio2.runtime.packed_linear import pack_linears
from uniaudio2.runtime.precision import (
    EXACT,
    Precision,
    check_precision,
    product_dtype,
    products_in,
)

# WavLM's convolutions see 400 samples every 320; this tail lets the last frame start on time.
_WAVLM_TAIL = 160


@dataclass(frozen=True)
class Features:
    """Features of a batch of waves, channel-first float32.

    Attributes:
        whisper: ``[B, whisper dim, 2 T]`` at 50 Hz.
        wavlm: ``[B, wavlm dim, 2 T]`` at 50 Hz, the average of some hidden states.
        acoustic: ``[B, music dim, T]`` at 25 Hz, a lower hidden state of MusicFM.
        semantic: ``[B, music dim, T]`` at 25 Hz, a higher one.
    """

    whisper: Tensor
    wavlm: Tensor
    acoustic: Tensor
    semantic: Tensor


def concat_frames(*features: Tensor) -> Tensor:
    """Concatenate ``[B, T_i, C_i]`` on channels, cut to the shortest: ``[B, min T_i, sum C_i]``."""
    shortest = min(feature.shape[1] for feature in features)
    return torch.cat([feature[:, :shortest] for feature in features], dim=-1)


@lru_cache(maxsize=8)
def _resampler(rate: int, device: torch.device) -> nn.Module:
    transform: nn.Module = torchaudio.transforms.Resample(rate, WHISPER_RATE).to(device)
    return transform


def to_16k(wave: Tensor, rate: int) -> Tensor:
    """Resample ``[B, N]`` float32 to 16 kHz: ``[B, ceil(16000 N / rate)]``, windowed sinc."""
    resampled: Tensor = _resampler(rate, wave.device)(wave)
    return resampled


def wavlm_depth(config: CodecConfig, settings: WavLMSettings) -> int:
    """WavLM's layers up to the last hidden state in use.

    Raises:
        ValueError: `wavlm_layers` names a hidden state that the model does not have.
    """
    depth = max(config.wavlm_layers)
    if depth > settings.num_hidden_layers:
        raise ValueError(
            f"wavlm_layers {config.wavlm_layers} must not exceed WavLM's "
            f"{settings.num_hidden_layers} layers; lower it or set num_hidden_layers"
        )
    return depth


class FrozenEncoders(nn.Module):
    """Computes the features that the trained part of the codec reads.

    Args:
        config: the codec's configuration.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        whisper, wavlm = WhisperSettings(**config.whisper), WavLMSettings(**config.wavlm)
        self.mel_bins = whisper.num_mel_bins
        self.whisper_dim, self.wavlm_dim = whisper.d_model, wavlm.hidden_size
        self.whisper = WhisperEncoder(whisper, 2 * config.segment_frames)
        self.wavlm = WavLM(wavlm, wavlm_depth(config, wavlm))
        self.music = MusicFM(config.music, config.sample_rate)
        self.precision: Precision = EXACT

    def set_precision(self, precision: Precision) -> None:
        """Choose what the encoders multiply, before `pack`; what is around products is float32."""
        check_precision(precision, self.whisper.conv1.weight.device)
        self.precision = precision

    def pack(self) -> None:
        """Lay weights out as a CPU reads them fastest; they must not change any more."""
        dtype = product_dtype(self.precision)
        pack_linears(self, dtype=dtype)
        pack_patch_convs(self, dtype)
        if self.whisper.conv1.weight.device.type == "cpu":
            self.music.front_end.dtype = dtype

    def whisper_mel(self, wave_16k: Tensor, frames: int) -> Tensor:
        """Compute Whisper's input.

        Args:
            wave_16k: ``[B, N]`` float32 at 16 kHz, cut or padded with zeros to `frames`.
            frames: 25 Hz frames, those of a segment or fewer.

        Returns:
            ``[B, mel bands, 4 * frames]`` float32.
        """
        wanted = 4 * frames * WHISPER_HOP
        fitted = functional.pad(wave_16k, (0, wanted - wave_16k.shape[-1]))  # negative: cut
        return whisper_log_mel(fitted, self.mel_bins)

    def whisper_states(self, mel: Tensor) -> Tensor:
        """Compute the encoder's last hidden state, of mels that may be shorter than a segment.

        Args:
            mel: ``[B, mel bands, 4 T]`` float32.

        Returns:
            ``[B, 2 T, whisper dim]`` float32.
        """
        stock = self.whisper
        hidden = functional.gelu(stock.conv2(functional.gelu(stock.conv1(mel)))).transpose(1, 2)
        hidden = hidden + stock.embed_positions.weight[: hidden.shape[1]]
        for layer in stock.layers:
            hidden = whisper_layer(layer, hidden)
        normed: Tensor = stock.layer_norm(hidden)
        return normed

    def forward(self, wave: Tensor, tight: bool = False) -> Features:
        """Compute features of waves.

        Args:
            wave: ``[B, N]`` float32 at the codec's sample rate, at most a segment long.
            tight: do not pad Whisper's input; as published, it is padded with zeros to a whole
                segment.

        Returns:
            Features of ``T = N // frame_samples`` frames.
        """
        frames = wave.shape[-1] // self.config.frame_samples
        wave_16k = to_16k(wave, self.config.sample_rate)
        whisper_frames = frames if tight else self.config.segment_frames
        whisper_mel = self.whisper_mel(wave_16k, whisper_frames)
        music_mel = self.music.normalise(self.music.mel_db(wave))
        with products_in(self.precision, wave.device):
            whisper = self.whisper_states(whisper_mel)
            wavlm = self._wavlm_average(wave_16k)
            music = self.music.hidden_states(music_mel)
        made = (
            whisper[:, : 2 * frames],
            wavlm[:, : 2 * frames],
            music[self.config.music.acoustic_layer],
            music[self.config.music.semantic_layer],
        )
        return Features(*(one.float().transpose(1, 2) for one in made))

    def _wavlm_average(self, wave_16k: Tensor) -> Tensor:
        """Average the chosen hidden states of the raw, not normalised wave: ``[B, T, dim]``."""
        padded = functional.pad(wave_16k, (0, _WAVLM_TAIL))
        on_cpu = padded.device.type == "cpu"
        dtype = product_dtype(self.precision) if on_cpu else torch.float32
        return wavlm_average(self.wavlm, padded, self.config.wavlm_layers, dtype)
