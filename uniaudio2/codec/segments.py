"""Segments of a clip: how many, which samples, and how many frames they yield.

Counts use whole numbers; the published floating-point formula is one too small at some lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from uniaudio2.config import CodecConfig
from uniaudio2.lazily import torch

if TYPE_CHECKING:
    from torch import Tensor

# 25 Hz frames in which both a whole number of 5 Hz and of 12.5 Hz codes fit.
_PADDING_FRAMES = 10
_BINARY_DIGITS = 3


def recon_frames(samples: int, config: CodecConfig) -> int:
    """Count the reconstruction frames (12.5 Hz) that a clip of `samples` yields."""
    return samples // config.recon_samples + 1


def reason_frames(samples: int, config: CodecConfig) -> int:
    """Count the reasoning frames (5 Hz) that a clip of `samples` yields."""
    return samples // config.reason_samples + 1


def segments_needed(samples: int, config: CodecConfig) -> int:
    """Count the segments whose codes are kept; both rates need the same number."""
    return samples // (config.segment_frames * config.frame_samples) + 1


def tight_samples(samples: int, index: int, config: CodecConfig) -> int:
    """Count the samples of a segment that is cut behind the last frame of its clip.

    Few lengths exist, so that segments of many clips share batches: multiples of 0.4 s that need
    three binary digits at most, hence at most a quarter longer than needed.

    Args:
        samples: of the clip.
        index: segment number, below `segments_needed`.
        config: the codec's configuration.

    Returns:
        the samples, those of a whole segment where no shorter length does.
    """
    per_segment = config.segment_frames // 2
    codes = recon_frames(samples, config) - index * per_segment
    frames_left = reason_frames(samples, config) * 5 - 2 * index * per_segment
    tens = -(-max(2 * codes, frames_left) // _PADDING_FRAMES)
    step = 1 << max(tens.bit_length() - _BINARY_DIGITS, 0)
    frames = -(-tens // step) * step * _PADDING_FRAMES
    frames = min(frames, config.segment_frames)
    return frames * config.frame_samples + config.segment_extra_samples


def check_clip(clip: Tensor) -> None:
    """Refuse what cannot be encoded.

    Raises:
        ValueError: the clip has channels or no samples.
    """
    if clip.ndim != 1:
        raise ValueError(
            f"clip of shape {tuple(clip.shape)}: one axis of samples is needed; "
            "average the channels first"
        )
    if clip.shape[0] == 0:
        raise ValueError("clip of 0 samples: at least 1 is needed; drop empty clips first")


def periodic_segment(
    clip: Tensor, index: int, config: CodecConfig, samples: int | None = None
) -> Tensor:
    """Cut one segment out of the endless repetition of a clip.

    Segments advance by their own length, which is a little more than the audio their codes
    stand for; so the codes of segment ``s`` start at sample ``s * segment_samples``.

    Args:
        clip: ``[N]`` float32.
        index: segment number.
        config: the codec's configuration.
        samples: how many to cut; None for a whole segment.

    Returns:
        ``[samples]``; sample ``j`` is ``clip[(segment_samples * index + j) mod N]``.
    """
    start = config.segment_samples * index
    stop = start + (config.segment_samples if samples is None else samples)
    positions = torch.arange(start, stop, device=clip.device)
    return clip[positions % clip.shape[0]]


def stream_segments(
    blocks: Iterable[Tensor], samples: int, config: CodecConfig
) -> Iterator[Tensor]:
    """Cut the needed segments of a clip that comes in blocks, as `periodic_segment` does.

    Only a segment and the beginning of the clip, where the last segments go on, are in memory.

    Args:
        blocks: ``[N]`` float32 each.
        samples: length of the whole clip.
        config: the codec's configuration.

    Yields:
        ``[segment_samples]`` each, in order.

    Raises:
        RuntimeError: the blocks hold more or fewer samples.
    """
    length, needed = config.segment_samples, segments_needed(samples, config)
    # the segments behind the last whole one start up to this far behind the end of the clip
    reach = min(length + needed * config.segment_extra_samples, samples)
    head, held = torch.zeros(0), torch.zeros(0)
    come = given = 0
    for block in blocks:
        come += len(block)
        head = torch.cat([head, block[: reach - len(head)]]) if len(head) < reach else head
        held = torch.cat([held, block])
        while len(held) >= length and given < needed:
            yield held[:length].clone()
            held, given = held[length:].clone(), given + 1
    if come != samples:
        raise RuntimeError(f"{come} samples came where {samples} were found before; not one file")
    tail = torch.cat([held, head])  # starts at sample `given * length`
    for place in range(needed - given):
        positions = torch.arange(place * length, (place + 1) * length)
        repeats = positions >= len(tail)
        positions[repeats] = len(held) + (positions[repeats] - len(held)) % samples
        yield tail[positions]


def padded_clip(clip: Tensor, config: CodecConfig) -> Tensor:
    """Pad a clip with zeros to whole codes of both rates (a multiple of 0.4 s).

    Args:
        clip: ``[N]`` float32.
        config: the codec's configuration.

    Raises:
        ValueError: the padded clip is longer than one segment.
    """
    multiple = _PADDING_FRAMES * config.frame_samples
    longest = config.segment_frames * config.frame_samples
    samples = clip.shape[0]
    padded = -(-samples // multiple) * multiple
    if padded > longest:
        raise ValueError(
            f"clip of {samples} samples: one pass takes at most {longest}; "
            "cut the clip or use encode"
        )
    return torch.nn.functional.pad(clip, (0, padded - samples))
