"""MusicFM: mel front-end, two residual convolutions, conformer layers; 25 hidden states a second.

Only the layers up to the last hidden state in use are built. The published model's final norm,
logits and training quantizer are not needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.encoders.conformer import ConformerLayer
from uniaudio2.codec.mel import MUSIC_HOP, music_mel_db
from uniaudio2.codec.rotary import rotary_table
from uniaudio2.codec.stock_layers import conformer_layer
from uniaudio2.config import MusicConfig

# Mean and deviation of the dB mel that the published model falls back to.
_MEL_MEAN = 6.768444971712967
_MEL_DEVIATION = 18.417922652295623

_STRIDE = 4  # two convolutions of stride 2, on time and on bands
_REACH = 3  # frames beside a frame that its convolutions hear, rounded up
_SPAN_FRAMES = 150  # that the front-end makes at once on a CPU


class ResidualConv(nn.Module):
    """Two 3x3 convolutions and a 3x3 skip; halves time and bands.

    Args:
        channels_in: channels of the image ``[B, channels_in, bands, frames]``.
        channels: channels of the result ``[B, channels, bands / 2, frames / 2]``.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Convolve an image in its own dtype, which may be that of the products alone."""
        main = _normed(self.conv1, self.bn1, image).relu_()
        main = _normed(self.conv2, self.bn2, main)
        return main.add_(_normed(self.conv3, self.bn3, image)).relu_()


def _normed(conv: nn.Conv2d, norm: nn.BatchNorm2d, image: Tensor) -> Tensor:
    """A convolution and its batch norm, for inference as one convolution."""
    mean, variance = norm.running_mean, norm.running_var
    if torch.is_grad_enabled() or norm.training or mean is None or variance is None:
        normed: Tensor = norm(conv(image))
        return normed
    scale = norm.weight / (variance + norm.eps).sqrt()
    offset = norm.bias - mean * scale
    if conv.bias is not None:
        offset = offset + conv.bias * scale
    weight = conv.weight * scale[:, None, None, None]
    kind = image.dtype
    return functional.conv2d(image, weight.to(kind), offset.to(kind), conv.stride, conv.padding)


class FrontEnd(nn.Module):
    """Turns a mel image into frames: two residual convolutions and a linear layer.

    Args:
        config: MusicFM's sizes.
    """

    def __init__(self, config: MusicConfig) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            ResidualConv(1, config.conv_dim), ResidualConv(config.conv_dim, config.conv_dim)
        )
        self.linear = nn.Linear(config.conv_dim * (config.mel_bins // _STRIDE), config.dim)
        self.dtype = torch.float32  # that the convolutions multiply

    def forward(self, mel: Tensor) -> Tensor:
        """Map a normalised mel ``[B, bins, frames]`` to ``[B, frames / 4, dim]``."""
        count = mel.shape[-1] // _STRIDE
        at_once = (
            _SPAN_FRAMES if mel.device.type == "cpu" and not torch.is_grad_enabled() else count
        )
        spans = [
            self._span(mel, start, min(start + at_once, count))
            for start in range(0, count, at_once)
        ]
        return torch.cat(spans, dim=1) if len(spans) != 1 else spans[0]

    def _span(self, mel: Tensor, start: int, stop: int) -> Tensor:
        """Frames `start` to before `stop`, from all of the mel that the convolutions hear."""
        first = max(start - _REACH, 0)
        heard = mel[..., _STRIDE * first : _STRIDE * (stop + _REACH)]
        image = self.blocks(heard[:, None].to(self.dtype))  # [B, C, bins / 4, frames]
        image = image[..., start - first : stop - first]
        frames: Tensor = self.linear(image.permute(0, 3, 1, 2).flatten(2))
        return frames


class MusicFM(nn.Module):
    """The frozen music encoder, up to the hidden states that the codec reads.

    Args:
        config: MusicFM's sizes and the two hidden states in use.
        sample_rate: samples per second of the waves.

    Raises:
        ValueError: a hidden state is asked for that the published model passes through its
            final norm, which is not built.
    """

    def __init__(self, config: MusicConfig, sample_rate: int) -> None:
        super().__init__()
        depth = max(config.acoustic_layer, config.semantic_layer)
        if depth >= config.layers:
            raise ValueError(
                f"hidden state {depth} of MusicFM must be below its {config.layers} layers; "
                "lower acoustic_layer or semantic_layer"
            )
        self.mel_bins = config.mel_bins
        self.sample_rate = sample_rate
        self.head_dim = config.dim // config.heads
        self.front_end = FrontEnd(config)
        self.layers = nn.ModuleList(
            ConformerLayer(config.dim, config.heads, config.mlp_dim, config.conv_kernel)
            for _ in range(depth)
        )

    def mel_db(self, wave: Tensor) -> Tensor:
        """Compute the dB mel ``[B, bins, 4 T]`` of the whole 25 Hz frames of ``[B, N]``."""
        frame_samples = MUSIC_HOP * _STRIDE
        whole = wave.shape[-1] // frame_samples * frame_samples
        return music_mel_db(wave[:, :whole], self.mel_bins, self.sample_rate)

    @staticmethod
    def normalise(mel_db: Tensor) -> Tensor:
        """Scale a dB mel as published, with the constants of no statistics file."""
        return (mel_db - _MEL_MEAN) / _MEL_DEVIATION

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Encode waves.

        Args:
            wave: ``[B, N]`` float32; samples beyond the last whole 25 Hz frame are dropped.

        Returns:
            Hidden states ``[B, N // 960, dim]``: the input of every layer built, then the output
            of the last.
        """
        return self.hidden_states(self.normalise(self.mel_db(wave)))

    def hidden_states(self, mel: Tensor) -> list[Tensor]:
        """Encode normalised mels ``[B, bins, 4 T]``; what comes out is that of `forward`."""
        states: Tensor = self.front_end(mel)  # [B, T, dim]
        table = rotary_table(states.shape[1], self.head_dim, states.device)
        hidden = [states]
        for layer in self.layers:
            hidden.append(conformer_layer(layer, hidden[-1], table))
        return hidden
