"""Audio to codes: the encoding half of the published ReasoningCodec, many clips at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch
from torch import Tensor, nn

from uniaudio2.codec.branches import Branches
from uniaudio2.codec.features import Features, FrozenEncoders
from uniaudio2.codec.quantizers import Quantizers
from uniaudio2.codec.reasoning import ReasoningBranch
from uniaudio2.codec.segments import (
    check_clip,
    padded_clip,
    periodic_segment,
    reason_frames,
    recon_frames,
    segments_needed,
    stream_segments,
    tight_samples,
)
from uniaudio2.config import CodecConfig, Padding
from uniaudio2.runtime.frame_conv import pack_patch_convs
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.runtime.packed_linear import pack_linears
from uniaudio2.runtime.precision import Precision
from uniaudio2.tokens.codes import Codes


@dataclass(frozen=True)
class _Segment:
    """Names a segment of a clip: the first `samples` of it are encoded."""

    clip: int
    index: int
    samples: int


class CodecEncoder(nn.Module):
    """Encodes waves to reasoning and reconstruction codes.

    Built in evaluation mode: dropout and batch statistics belong to training. Arithmetic is
    float32 on the device of the parameters, unless `set_precision` chooses other products.

    Args:
        config: the codec's configuration.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.features = FrozenEncoders(config)
        whisper_dim = self.features.whisper_dim
        wavlm_dim = self.features.wavlm_dim
        self.thinking = ReasoningBranch(config, whisper_dim, config.music.dim)
        self.branches = Branches(config, whisper_dim, wavlm_dim, config.music.dim)
        self.quantizers = Quantizers(config)
        self.eval()

    def set_precision(self, precision: Precision) -> None:
        """Choose what the three encoders multiply, before `pack`.

        The reasoning branch and the quantizers, a twentieth of the work, stay in float32.

        Raises:
            ValueError: the device has no such precision.
        """
        self.features.set_precision(precision)

    def pack(self) -> None:
        """Lay out weights and codebooks as a CPU reads them fastest; they must not change any more.

        Elsewhere than on the CPU nothing changes.
        """
        self.features.pack()
        pack_linears(self)
        pack_patch_convs(self)
        for quantizer in self.quantizers.searched():
            quantizer.pack()

    def quantize(self, features: Features) -> tuple[Tensor, Tensor]:
        """Quantize the frozen encoders' features.

        Args:
            features: of ``T`` frames at 25 Hz, T a multiple of the query interval.

        Returns:
            reasoning codes ``[B, T / 5, 8]`` and reconstruction codes ``[B, T / 2, 8]``, int64.
        """
        queries = self.thinking(features.whisper, features.semantic)  # [B, T / 5, dim]
        reason, quantized = self.quantizers.reasoning.encode(queries)
        fused = self.branches.fuse(features)  # each [B, T / 2, dim]
        reasoning = self.quantizers.adapt_reasoning(quantized, fused[0].shape[1])
        recon = self.quantizers.encode_recon(*self.branches.modulate(fused, reasoning))
        return reason, recon

    @torch.no_grad()
    def encode(
        self,
        clips: Sequence[Tensor],
        segments_per_batch: int | Budget = 6,
        padding: Padding = "periodic",
    ) -> list[Codes]:
        """Encode clips as the published ``audio2token`` does.

        A clip is repeated to whole segments, because its codes depend on what follows it; only the
        segments whose codes are kept are computed, and segments of many clips share a batch.

        Args:
            clips: each ``[N]`` float32, mono, at the codec's sample rate; any device.
            segments_per_batch: whole segments, or as many samples of cut ones, that go through the
                encoders at once, at least 1.
            padding: of a clip to its last segment: "periodic" as published; "tight" cuts that
                segment soon after its last token, which costs short clips a fraction and gives
                other codes.

        Returns:
            Per clip ``N // 4800 + 1`` reasoning and ``N // 1920 + 1`` reconstruction frames (at
            24 kHz) on the CPU, the same whatever else is in the batch.

        Raises:
            ValueError: a clip is empty or has channels.
        """
        for clip in clips:
            check_clip(clip)
        budget, tight = Budget.of(segments_per_batch), padding == "tight"
        segments = [
            _Segment(number, index, self._samples(clip.shape[0], index, tight))
            for number, clip in enumerate(clips)
            for index in range(segments_needed(clip.shape[0], self.config))
        ]

        def encode_segments(batch: Sequence[_Segment]) -> list[Codes]:
            waves = [
                periodic_segment(clips[one.clip], one.index, self.config, one.samples)
                for one in batch
            ]
            return self._encode_waves(waves, tight)

        done: dict[tuple[int, int], Codes] = {}
        for samples in sorted({one.samples for one in segments}, reverse=True):
            alike = [one for one in segments if one.samples == samples]
            while alike:
                size = budget.fits(samples / self.config.segment_samples)
                batch, alike = alike[:size], alike[size:]
                made = budget.run(encode_segments, batch)
                done |= {(s.clip, s.index): c for s, c in zip(batch, made, strict=True)}
        return [
            self._join(
                [done[number, at] for at in range(segments_needed(len(clip), self.config))],
                len(clip),
            )
            for number, clip in enumerate(clips)
        ]

    def _samples(self, samples: int, index: int, tight: bool) -> int:
        """How many samples of a clip's segment are encoded."""
        if tight:
            return tight_samples(samples, index, self.config)
        return self.config.segment_samples

    @torch.no_grad()
    def encode_stream(
        self,
        blocks: Iterable[Tensor],
        samples: int,
        segments_per_batch: int | Budget = 6,
        padding: Padding = "periodic",
    ) -> Codes:
        """Encode one clip of any length that comes in blocks; the codes are those of `encode`.

        Args:
            blocks: ``[N]`` float32 each, mono, at the codec's sample rate.
            samples: length of the whole clip, at least 1.
            segments_per_batch: segments that go through the encoders at once, at least 1.
            padding: as for `encode`.

        Raises:
            RuntimeError: the blocks hold more or fewer samples.
        """
        budget, tight = Budget.of(segments_per_batch), padding == "tight"
        segments = stream_segments(blocks, samples, self.config)
        # the last segment may be shorter than those before it, and goes alone
        whole = islice(segments, segments_needed(samples, self.config) - 1)
        batches = iter(lambda: list(islice(whole, budget.fits(1.0))), [])
        last = ([segment[: self._last_samples(samples, tight)]] for segment in segments)
        encoded = (
            codes
            for batch in chain(batches, last)
            for codes in budget.run(lambda waves: self._encode_waves(waves, tight), batch)
        )
        frames = reason_frames(samples, self.config), recon_frames(samples, self.config)
        return Codes.gather(encoded, *frames)

    def _last_samples(self, samples: int, tight: bool) -> int:
        """How many samples of a clip's last segment are encoded."""
        return self._samples(samples, segments_needed(samples, self.config) - 1, tight)

    @torch.no_grad()
    def encode_padded(self, clip: Tensor) -> Codes:
        """Encode one short clip as the published ``encode_segment`` does: zeros, not repetition.

        The codes differ from those of `encode`, whose padding is another; a model trained on one
        kind must be fed that kind.

        Args:
            clip: ``[N]`` float32, mono, at the codec's sample rate, at most one segment.

        Returns:
            As many frames as `encode` gives, or one fewer where `N` is a multiple of 0.4 s.

        Raises:
            ValueError: the clip is empty, has channels, or is longer than one segment.
        """
        check_clip(clip)
        return self._join(self._encode_waves([padded_clip(clip, self.config)]), clip.shape[0])

    def _encode_waves(self, waves: Sequence[Tensor], tight: bool = False) -> list[Codes]:
        """Encode waves of one length, each ``[N]``, in one batch; codes arrive on the CPU."""
        device = self.thinking.query_token.device
        batch = torch.stack([wave.to(device, torch.float32) for wave in waves])  # [B, N]
        reason, recon = self.quantize(self.features(batch, tight))
        return [Codes(*pair) for pair in zip(reason.cpu(), recon.cpu(), strict=True)]

    def _join(self, segments: Sequence[Codes], samples: int) -> Codes:
        """Concatenate the codes of a clip's segments and cut them to the clip's length."""
        return Codes(
            torch.cat([codes.reason for codes in segments])[: reason_frames(samples, self.config)],
            torch.cat([codes.recon for codes in segments])[: recon_frames(samples, self.config)],
        )
