"""The scalar codec: waves to bounded latents and back (published ScalarAE, ``sqcodec.pth``)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.config import ScalarConfig

_DILATIONS = (1, 3, 5, 7, 9)
_LEVELS_PER_UNIT = 9


class ScalarConv(nn.Conv1d):
    """Convolution padded on the left only, or equally on both sides.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: taps.
        causal: pad on the left only.
        stride: input samples of one output sample.
        dilation: input samples between two taps.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        causal: bool,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, dilation=dilation)
        reach = dilation * (kernel - 1)
        self.pads = (reach, 0) if causal else (reach // 2, reach // 2)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, self.pads))


class ResidualUnit(nn.Module):
    """Two convolutions with learned slopes and a residual connection; ``[B, C, L]`` throughout."""

    def __init__(self, channels: int, config: ScalarConfig, dilation: int) -> None:
        super().__init__()
        self.conv1 = ScalarConv(
            channels, channels, config.res_kernel_size, config.causal, dilation=dilation
        )
        self.activation1 = nn.PReLU()
        self.conv2 = ScalarConv(channels, channels, 1, config.causal)
        self.activation2 = nn.PReLU()

    def forward(self, signal: Tensor) -> Tensor:
        inner = self.activation1(self.conv1(signal))
        changed: Tensor = self.activation2(self.conv2(inner))
        return changed + signal


def _residual_units(channels: int, config: ScalarConfig) -> nn.Sequential:
    return nn.Sequential(*(ResidualUnit(channels, config, dilation) for dilation in _DILATIONS))


class DownBlock(nn.Module):
    """Residual units, then a strided convolution to twice the channels.

    The published down blocks share one slope; here each has its own, equal after loading.
    """

    def __init__(self, channels: int, factor: int, kernel: int, config: ScalarConfig) -> None:
        super().__init__()
        self.units = _residual_units(channels, config)
        self.down = ScalarConv(channels, 2 * channels, kernel, config.causal, stride=factor)
        self.activation = nn.PReLU()

    def forward(self, signal: Tensor) -> Tensor:
        shorter: Tensor = self.activation(self.down(self.units(signal)))
        return shorter


class UpBlock(nn.Module):
    """A transposed convolution to half the channels, then residual units.

    Args:
        channels: channels that come in.
        factor: output samples of one input sample.
        kernel: taps; a causal codec needs twice the factor.
        config: the codec's configuration.

    Raises:
        ValueError: kernel and factor do not fit a causal codec.
    """

    def __init__(self, channels: int, factor: int, kernel: int, config: ScalarConfig) -> None:
        super().__init__()
        if config.causal and kernel != 2 * factor:
            raise ValueError(
                f"upsample kernel {kernel} must be twice its factor {factor} in a causal codec; "
                "correct upsample_kernel_sizes or set causal to false"
            )
        padding = 0 if config.causal else (kernel - factor) // 2
        self.up = nn.ConvTranspose1d(
            channels, channels // 2, kernel, stride=factor, padding=padding
        )
        # What a causal codec drops are the samples that still wait for the next input.
        self.surplus = factor if config.causal else 0
        self.units = _residual_units(channels // 2, config)

    def forward(self, signal: Tensor) -> Tensor:
        longer = self.up(signal)
        units: Tensor = self.units(longer[..., : longer.shape[-1] - self.surplus])
        return units


class SampleMerge(nn.Module):
    """Convolve, then average groups of samples (published pre-processor)."""

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        channels = config.init_channel
        self.conv = ScalarConv(channels, channels, config.default_kernel_size, config.causal)
        self.activation = nn.PReLU()
        self.group = config.num_samples

    def forward(self, signal: Tensor) -> Tensor:
        return functional.avg_pool1d(self.activation(self.conv(signal)), self.group)


class SampleRepeat(nn.Module):
    """Repeat every sample, then convolve (published post-processor)."""

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        channels = config.init_channel
        self.conv = ScalarConv(channels, channels, config.default_kernel_size, config.causal)
        self.activation = nn.PReLU()
        self.group = config.num_samples

    def forward(self, signal: Tensor) -> Tensor:
        longer = signal.repeat_interleave(self.group, dim=-1)
        convolved: Tensor = self.activation(self.conv(longer))
        return convolved


def decoder_lookahead(config: ScalarConfig) -> int:
    """Count the latent frames after a moment on which its samples still depend.

    Decoding a start of F frames needs ``F + lookahead`` frames to give what the whole would give.
    """

    def reach(kernel: int, dilation: int = 1) -> int:
        return 0 if config.causal else (dilation * (kernel - 1) + 1) // 2

    ahead = reach(config.default_kernel_size)  # in samples of the layer just passed, last first
    if config.num_samples > 1:
        ahead += reach(config.default_kernel_size)
        ahead = -(-ahead // config.num_samples)
    ups = zip(config.upsample_factors, config.upsample_kernel_sizes, strict=True)
    for factor, kernel in reversed(list(ups)):
        ahead += sum(reach(config.res_kernel_size, dilation) for dilation in _DILATIONS)
        ahead += 0 if config.causal else (kernel - factor) // 2
        ahead = -(-ahead // factor)
    return ahead + config.delay_kernel_size // 2


def _encoder(config: ScalarConfig) -> nn.Sequential:
    """Layers in the published order, whose positions are part of the parameter names."""
    channels, kernel, causal = config.init_channel, config.default_kernel_size, config.causal
    layers: list[nn.Module] = [ScalarConv(config.num_bands, channels, kernel, causal)]
    if config.num_samples > 1:
        layers.append(SampleMerge(config))
    steps = zip(config.downsample_factors, config.downsample_kernel_sizes, strict=True)
    for factor, down_kernel in steps:
        layers.append(DownBlock(channels, factor, down_kernel, config))
        channels *= 2
    layers.append(ScalarConv(channels, config.latent_hidden_dim, kernel, causal))
    return nn.Sequential(*layers)


def _decoder(config: ScalarConfig) -> nn.Sequential:
    """Layers in the published order; the first looks ahead even in a causal codec."""
    channels = config.init_channel * 2 ** len(config.upsample_factors)
    layers: list[nn.Module] = [
        ScalarConv(config.latent_hidden_dim, channels, config.delay_kernel_size, causal=False)
    ]
    steps = zip(config.upsample_factors, config.upsample_kernel_sizes, strict=True)
    for factor, up_kernel in steps:
        layers.append(UpBlock(channels, factor, up_kernel, config))
        channels //= 2
    if config.num_samples > 1:
        layers.append(SampleRepeat(config))
    last = ScalarConv(channels, config.num_bands, config.default_kernel_size, config.causal)
    return nn.Sequential(*layers, last)


class ScalarCodec(nn.Module):
    """Encodes waves to latents in [-1, 1]; decodes latents, rounded to ninths, to waves.

    Args:
        config: the scalar codec's configuration.
        with_encoder: build the encoder too; decoding codes does not need it.

    Attributes:
        lookahead: latent frames after a moment on which its samples still depend.

    Raises:
        ValueError: factors and kernel sizes do not fit each other.
    """

    def __init__(self, config: ScalarConfig, with_encoder: bool = True) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config) if with_encoder else None
        self.decoder = _decoder(config)
        self.lookahead = decoder_lookahead(config)

    def encode(self, wave: Tensor) -> Tensor:
        """Turn waves into latents that are not rounded yet.

        Args:
            wave: ``[B, num_bands, N]`` float32.

        Returns:
            ``[B, latent, F]`` float32 in [-1, 1], about ``N / stride`` frames.

        Raises:
            RuntimeError: the codec was built without its encoder.
        """
        if self.encoder is None:
            raise RuntimeError("this scalar codec has no encoder; build it with with_encoder=True")
        latents: Tensor = self.encoder(wave)
        return latents.tanh()

    @staticmethod
    def quantize(latents: Tensor) -> Tensor:
        """Round latents of any shape to ninths; ties go to the even numerator."""
        return torch.round(_LEVELS_PER_UNIT * latents) / _LEVELS_PER_UNIT

    def decode(self, latents: Tensor, clamp: bool = False) -> Tensor:
        """Round latents and turn them into waves.

        Args:
            latents: ``[B, latent, F]`` float32.
            clamp: bring latents beyond the encoder's range back to [-1, 1] first; the published
                decoder does not.

        Returns:
            ``[B, num_bands, N]`` float32; N is ``F * stride``, or a few samples more where a codec
            that is not causal has odd factors.
        """
        if clamp:
            latents = latents.clamp(-1, 1)
        wave: Tensor = self.decoder(self.quantize(latents))
        return wave
