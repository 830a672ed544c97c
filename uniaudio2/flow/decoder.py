"""Codes to waves: conditioning, flow matching, scalar codec; windows of many rows in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.codec.quantizers import Quantizers
from uniaudio2.codes import Codes
from uniaudio2.config import CodecConfig, FlowConfig, ScalarConfig, VqConfig
from uniaudio2.flow.euler import integrate, prefix_mask
from uniaudio2.flow.noise import NoiseSource, seeded_noise
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.flow.transformer import FlowTransformer
from uniaudio2.flow.windows import FRAMES_PER_CODE, CrossFade, WindowPlan


def check_codes(codes: Codes, codec: CodecConfig) -> None:
    """Refuse codes that the codec cannot decode.

    Args:
        codes: of one row; its reasoning codes may be empty.
        codec: tells the codebooks.

    Raises:
        ValueError: no reconstruction codes, a wrong number of columns, or a code outside its
            codebook.
    """
    if len(codes.recon) == 0:
        raise ValueError("0 reconstruction frames; decoding needs at least 1: drop the row")
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


@dataclass
class _Progress:
    """A row on its way through its windows.

    Attributes:
        row: its number in the call.
        embedding: ``[T, dim]``, the conditioning of its codes.
        fade: what its windows have become so far.
        tail: ``[incontext_frames, latent]``, the end of its last window; None before the first.
        done: finished windows.
    """

    row: int
    embedding: Tensor
    fade: CrossFade
    tail: Tensor | None = None
    done: int = 0


class FlowDecoder(nn.Module):
    """The decoding half of the published ReasoningCodec. Arithmetic is float32.

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

    def embed(self, recon: Tensor, reason: Tensor | None = None) -> Tensor:
        """Turn codes into conditioning at 12.5 Hz.

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
        """Bring conditioning to the rate of the latents.

        Args:
            embedding: ``[B, T, dim]`` float32, from `embed`.
            latent_length: latent frames that carry sound; None for all.

        Returns:
            ``[B, 2 T, dim]`` float32, the learned "nothing" beyond `latent_length`.
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
        """Draw the latents of one window, as the published ``inference_codes`` does.

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
        latents = integrate(
            self.transformer, noise, incontext, incontext_frames, mu, steps, guidance
        )
        known = prefix_mask(incontext_frames, latents.shape[1], latents.device)
        return incontext.where(known, latents)

    @torch.no_grad()
    def decode(
        self,
        rows: Sequence[Codes],
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        compat: bool = False,
        use_reason: bool = False,
        windows_per_batch: int = 8,
        noise: NoiseSource | None = None,
    ) -> list[Tensor]:
        """Decode many rows at once; a row's wave does not depend on its neighbours.

        Up to `windows_per_batch` rows advance together by one window; a finished row makes room
        for the next, long rows first, so that batches stay full.

        Args:
            rows: codes of every row.
            seeds: one a row, in ``[0, 2**63)``; they decide the noise.
            steps: Euler steps; None for the model's own number.
            guidance: guidance scale; None for the model's own.
            compat: the published window arithmetic instead of the corrected one.
            use_reason: add the reasoning codes to the conditioning.
            windows_per_batch: windows that go through the transformer at once, at least 1.
            noise: where the noise comes from; None draws it from `seeds`.

        Returns:
            one wave a row on the CPU, ``[T * samples of a code]`` float32; with `compat` one
            sample fewer at some lengths.

        Raises:
            ValueError: a row's codes cannot be decoded, seeds and rows differ in number, or a
                setting is out of range.
        """
        self._check(rows, seeds, use_reason, windows_per_batch)
        steps = self.flow_config.steps if steps is None else steps
        guidance = self.flow_config.guidance if guidance is None else guidance
        noise = noise or seeded_noise(seeds)
        plan = WindowPlan(self.flow_config.window_codes, self.scalar.config.stride, compat)
        waiting = sorted(range(len(rows)), key=lambda row: -plan.count(len(rows[row].recon)))
        active: list[_Progress] = []
        waves: dict[int, Tensor] = {}
        while waiting or active:
            room = windows_per_batch - len(active)
            active += [self._start(row, rows[row], plan, use_reason) for row in waiting[:room]]
            del waiting[:room]
            self._advance(active, plan, noise, steps, guidance)
            waves |= {one.row: one.fade.wave for one in active if _finished(one, plan)}
            active = [one for one in active if not _finished(one, plan)]
        return [waves[row] for row in range(len(rows))]

    def _check(
        self, rows: Sequence[Codes], seeds: Sequence[int], use_reason: bool, windows: int
    ) -> None:
        if len(seeds) != len(rows):
            raise ValueError(f"{len(seeds)} seeds for {len(rows)} rows; give one a row")
        if windows < 1:
            raise ValueError(f"windows_per_batch {windows} must be at least 1")
        for number, codes in enumerate(rows):
            try:
                check_codes(codes, self.codec_config)
            except ValueError as fault:
                raise ValueError(f"row {number}: {fault}") from fault
            if use_reason and len(codes.reason) == 0:
                raise ValueError(
                    f"row {number}: 0 reasoning frames; use_reason needs at least 1: "
                    "give them or decode without"
                )

    def _start(self, row: int, codes: Codes, plan: WindowPlan, use_reason: bool) -> _Progress:
        device = self.zero_condition.device
        recon = codes.recon.to(device, torch.int64)[None]  # [1, T, 8]
        reason = codes.reason.to(device, torch.int64)[None] if use_reason else None
        return _Progress(row, self.embed(recon, reason)[0], CrossFade(plan, recon.shape[1]))

    def _advance(
        self,
        batch: Sequence[_Progress],
        plan: WindowPlan,
        noise: NoiseSource,
        steps: int,
        guidance: float,
    ) -> None:
        """Decode the next window of every row of a batch."""
        device = self.zero_condition.device
        embedding = torch.stack([_window_embedding(one, plan) for one in batch])  # [B, W, dim]
        shape = (plan.frames, self.latent_channels)
        start = torch.stack([noise(one.row, *shape) for one in batch]).to(device)
        nothing = torch.zeros(0, self.latent_channels, device=device)
        tails = [nothing if one.tail is None else one.tail for one in batch]
        known = torch.tensor([len(tail) for tail in tails], device=device)  # [B]
        incontext = torch.stack(
            [functional.pad(tail, (0, 0, 0, plan.frames - len(tail))) for tail in tails]
        )  # [B, F, latent]
        latents = self.sample(embedding, start, incontext, known, steps, guidance)
        for one, own in zip(batch, latents, strict=True):
            # One at a time: at the rate of samples, one window fills the device by itself.
            if one.fade.room:
                wanted = -(-one.fade.room // plan.stride) + self.scalar.lookahead
                one.fade.add(self.scalar.decode(own[:wanted].T[None])[0, 0])
            one.tail = own[plan.frames - plan.incontext_frames :]
            one.done += 1


def _window_embedding(one: _Progress, plan: WindowPlan) -> Tensor:
    """Conditioning of a row's next window: ``[W, dim]``."""
    indices = plan.indices(one.done, one.embedding.shape[0])
    return one.embedding[indices.to(one.embedding.device)]


def _finished(one: _Progress, plan: WindowPlan) -> bool:
    return one.done == plan.count(one.embedding.shape[0])
