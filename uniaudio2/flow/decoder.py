"""Codes to waves: conditioning, flow matching, scalar codec; windows of many clips in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uniaudio2.codec.quantizers import Quantizers
from uniaudio2.config import CodecConfig, FlowConfig, ScalarConfig, VqConfig, Windows
from uniaudio2.flow.euler import integrate, prefix_mask
from uniaudio2.flow.noise import NoiseSource, seeded_noise
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.flow.transformer import FlowTransformer
from uniaudio2.flow.window_batches import ClipState, draw_noise, next_batch, stack_windows
from uniaudio2.flow.windows import FRAMES_PER_CODE, WindowPlan
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.runtime.packed_linear import pack_linears
from uniaudio2.runtime.precision import (
    EXACT,
    Precision,
    check_precision,
    product_dtype,
    products_in,
)
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.codes import Codes


def check_codes(codes: Codes, codec: CodecConfig) -> None:
    """Refuse codes that the codec cannot decode.

    Args:
        codes: of one clip; its reasoning codes may be empty.
        codec: tells the codebooks.

    Raises:
        ValueError: no reconstruction codes, a wrong number of columns, or a code outside its
            codebook.
    """
    if len(codes.recon) == 0:
        raise ValueError("0 reconstruction frames; decoding needs at least 1: leave it out")
    recon = (codec.pronunciation, codec.structure, codec.acoustic)
    _check_stream(codes.recon, recon, "reconstruction")
    _check_stream(codes.reason, (codec.reasoning,), "reasoning")


def _check_stream(codes: Tensor, quantizers: Sequence[VqConfig], name: str) -> None:
    sizes = torch.tensor([vq.size for vq in quantizers for _ in range(vq.levels)])
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise ValueError(
            f"{name} codes of shape {list(codes.shape)} must have the shape [frames, "
            f"{len(sizes)}]; store them time first"
        )
    wrong = ((codes < 0) | (codes >= sizes)).nonzero()
    if len(wrong):
        frame, column = wrong[0].tolist()
        raise ValueError(
            f"{name} code {int(codes[frame, column])} at frame {frame}, codebook {column}, must "
            f"lie in 0..{int(sizes[column]) - 1}; decode with the model that made the codes"
        )


class FlowDecoder(nn.Module):
    """Decodes codes to waves: the second half of the published ReasoningCodec.

    Args:
        flow: the flow transformer and its windows.
        codec: the codec's width and quantizers.
        scalar: the scalar codec, of which only the decoder is built.
    """

    def __init__(self, flow: FlowConfig, codec: CodecConfig, scalar: ScalarConfig) -> None:
        super().__init__()
        self.flow_config = flow
        self.codec_config = codec
        self.latent_channels = scalar.latent_hidden_dim
        self.quantizers = Quantizers(codec)
        self.condition = nn.Linear(codec.dim, codec.dim)
        self.zero_condition = nn.Parameter(torch.zeros(codec.dim))
        self.transformer = FlowTransformer(flow, self.latent_channels, codec.dim)
        self.scalar = ScalarCodec(scalar, with_encoder=False)
        self.precision: Precision = EXACT

    def set_precision(self, precision: Precision) -> None:
        """Choose what the flow transformer multiplies, before `pack`.

        The state of the Euler steps, the quantizers and the scalar decoder stay in float32.

        Raises:
            ValueError: the device has no such precision.
        """
        check_precision(precision, self.zero_condition.device)
        self.precision = precision

    def pack(self) -> None:
        """Lay weights out as a CPU reads them fastest; they must not change any more."""
        pack_linears(self.transformer.blocks, dtype=product_dtype(self.precision))
        pack_linears(self)

    def embed(self, recon: Tensor, reason: Tensor | None = None) -> Tensor:
        """Embed codes: the conditioning at 12.5 Hz.

        Args:
            recon: ``[B, T, 8]`` int64.
            reason: ``[B, Tq, 8]`` int64, Tq at least 1; its last code is held if it is too short.

        Returns:
            ``[B, T, dim]`` float32.
        """
        embedding = self.quantizers.recon_embedding(recon)
        if reason is not None:
            embedding = embedding + self.quantizers.reason_embedding(reason, recon.shape[1])
        conditioning: Tensor = self.condition(embedding)
        return conditioning

    def stretch(self, embedding: Tensor, latent_length: int | None = None) -> Tensor:
        """Repeat the conditioning to the rate of the latents.

        Args:
            embedding: ``[B, T, dim]`` float32, from `embed`.
            latent_length: latent frames that carry sound; None for all.

        Returns:
            ``[B, 2 T, dim]`` float32, the learned null conditioning beyond `latent_length`.
        """
        mu = embedding.repeat_interleave(FRAMES_PER_CODE, dim=1)
        if latent_length is None:
            return mu
        return mu.where(prefix_mask(latent_length, mu.shape[1], mu.device), self.zero_condition)

    def sample(
        self,
        embedding: Tensor,
        noise: Tensor,
        incontext: Tensor,
        incontext_frames: int | Tensor,
        steps: int,
        guidance: float,
        latent_length: int | None = None,
    ) -> Tensor:
        """Sample the latents of one window, as the published ``inference_codes`` does.

        Args:
            embedding: ``[B, T, dim]`` float32, from `embed`.
            noise: ``[B, 2 T, latent]`` float32, standard normal.
            incontext: ``[B, 2 T, latent]`` float32; its first frames are kept as they are.
            incontext_frames: how many, for all items or ``[B]`` int64 for each.
            steps: Euler steps, at least 1.
            guidance: guidance scale, at least 1.
            latent_length: latent frames that carry sound; None for all.

        Returns:
            ``[B, 2 T, latent]`` float32.
        """
        mu = self.stretch(embedding, latent_length)
        with products_in(self.precision, mu.device):
            latents = integrate(
                self.transformer, noise, incontext, incontext_frames, mu, steps, guidance
            )
        known = prefix_mask(incontext_frames, latents.shape[1], latents.device)
        return incontext.where(known, latents)

    @torch.no_grad()
    def decode(
        self,
        clips: Sequence[Codes],
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        compat: bool = False,
        use_reason: bool = False,
        windows: Windows | None = None,
        windows_per_batch: int | Budget = 8,
        noise: NoiseSource | None = None,
    ) -> list[Tensor]:
        """Decode many clips at once; a clip's wave does not depend on the others.

        Clips advance window by window; those whose next windows have one length share batches.

        Args:
            clips: codes of every clip.
            seeds: one per clip, in ``[0, 2**63)``; they decide the noise.
            steps: Euler steps; None for the model's own number.
            guidance: guidance scale; None for the model's own.
            compat: the published window arithmetic instead of the corrected one.
            use_reason: add the reasoning codes to the conditioning.
            windows: "whole" repeats a clip to whole windows, as published; "fitted" cuts a clip's
                last window to what is kept, which gives other latents; None for the model's own.
            windows_per_batch: whole windows, or as many frames of cut ones, that go through the
                transformer at once, at least 1.
            noise: where the noise comes from; None draws it from `seeds`.

        Returns:
            one wave per clip on the CPU, ``[T * samples of a code]`` float32; with `compat` one
            sample fewer at some lengths.

        Raises:
            ValueError: a clip's codes cannot be decoded, seeds and clips differ in number, or a
                setting is out of range.
        """
        self._check(clips, seeds, use_reason)
        budget = Budget.of(windows_per_batch)
        settings = (
            self.flow_config.steps if steps is None else steps,
            self.flow_config.guidance if guidance is None else guidance,
        )
        noise = noise or seeded_noise(seeds)
        plan = self._plan(compat, windows)
        every = [ClipState(index, codes, plan) for index, codes in enumerate(clips)]
        unfinished = list(every)
        while unfinished:
            batch = next_batch(unfinished, budget)
            starts = draw_noise(batch, noise, self.latent_channels)
            made = budget.run(
                lambda items: self._decode_windows(items, settings, use_reason),
                list(zip(batch, starts, strict=True)),
            )
            for one, (latents, wave) in zip(batch, made, strict=True):
                one.fade.add(wave)
                one.tail = latents[len(latents) - plan.incontext_frames :]
                one.done += 1
            unfinished = [one for one in unfinished if one.left]
        return [one.fade.wave for one in every]

    def _plan(self, compat: bool, windows: Windows | None) -> WindowPlan:
        kind = windows or ("whole" if compat else self.flow_config.windows)
        spare = -(-self.scalar.lookahead // FRAMES_PER_CODE) if kind == "fitted" else None
        return WindowPlan(self.flow_config.window_codes, self.scalar.config.stride, compat, spare)

    def _check(self, clips: Sequence[Codes], seeds: Sequence[int], use_reason: bool) -> None:
        if len(seeds) != len(clips):
            raise ValueError(f"{len(seeds)} seeds for {len(clips)} clips; give one per clip")
        for index, codes in enumerate(clips):
            try:
                check_codes(codes, self.codec_config)
            except ValueError as fault:
                raise ValueError(f"clip {index}: {fault}") from fault
            if use_reason and len(codes.reason) == 0:
                raise ValueError(
                    f"clip {index}: 0 reasoning frames; use_reason needs at least 1: "
                    "give them or decode without"
                )

    def _decode_windows(
        self,
        items: Sequence[tuple[ClipState, Tensor]],
        settings: tuple[int, float],
        use_reason: bool,
    ) -> list[tuple[Tensor, Tensor]]:
        """Decode the next windows, all of one length, of clips with their noise.

        Returns:
            latents ``[F, latent]`` and wave ``[N]`` of every window; no clip's state is changed.
        """
        clips = [one for one, _ in items]
        batch = stack_windows(
            self._conditioning(clips, use_reason),
            [start for _, start in items],
            [one.tail for one in clips],
        )
        latents = self.sample(batch.embedding, batch.noise, batch.incontext, batch.known, *settings)
        return list(zip(latents, self._waves(clips, latents), strict=True))

    def _conditioning(self, clips: Sequence[ClipState], use_reason: bool) -> Tensor:
        """Embed the next windows of clips, all of one length: ``[B, W, dim]``."""
        device = self.zero_condition.device
        at = [one.plan.indices(one.done, one.length) for one in clips]
        if not use_reason:
            codes = [one.codes.recon[own].long() for one, own in zip(clips, at, strict=True)]
            return self.embed(to_device(torch.stack(codes), device))
        whole = [
            self.embed(one.codes.recon[None].long().to(device), one.codes.reason[None].to(device))
            for one in clips
        ]  # reasoning codes are laid out from the start of the clip
        return torch.stack(
            [embedded[0, own.to(device)] for embedded, own in zip(whole, at, strict=True)]
        )

    def _waves(self, clips: Sequence[ClipState], latents: Tensor) -> list[Tensor]:
        """Decode windows ``[B, F, latent]`` to waves, as far as their clips have room for them."""
        kept = [-(-one.fade.room // one.plan.stride) for one in clips]
        if latents.device.type == "cpu":
            # one at a time: at the rate of samples one window fills the cores by itself
            return [
                self._wave(own[None, : frames + self.scalar.lookahead])[0]
                for own, frames in zip(latents, kept, strict=True)
            ]
        return list(self._wave(latents[:, : max(kept) + self.scalar.lookahead]))

    def _wave(self, latents: Tensor) -> Tensor:
        """Decode ``[B, F, latent]`` to ``[B, N]``; without frames there is no wave."""
        if latents.shape[1] <= self.scalar.lookahead:
            return latents.new_zeros(len(latents), 0)
        return self.scalar.decode(latents.mT)[:, 0]
