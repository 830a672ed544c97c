"""Before stage 6: clips decoded by the finished decoder and encoded again.

The language model transcribes what it has spoken only if it knows the decoder's voice. The texts
are those of the recordings, so nothing that it said itself, right or wrong, is taught as true.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.seeds import row_seed
from uniaudio2.tokens.codes import Codes
from uniaudio2.training.data.encoded import EncodedClip

_EVERY, _FIRST = 14, 2  # of the corpus; even, so that the clips are clean ones
_BATCH = 40


def is_reencoded(number: int) -> bool:
    """Tell whether a clip of the corpus is decoded and encoded again."""
    return number % _EVERY == _FIRST


def reencode(
    folder: Path,
    clips: Sequence[EncodedClip],
    decoder: FlowDecoder,
    encoder: CodecEncoder,
    seed: int,
) -> list[EncodedClip]:
    """Decode some clips and encode what was made; kept in ``again.safetensors``.

    Args:
        folder: where it is kept; what is there is not made again.
        clips: the whole encoded corpus.
        decoder: finished.
        encoder: finished.
        seed: decides the decoder's noise.

    Returns:
        the chosen clips with their new codes.
    """
    chosen = [clip for clip in clips if is_reencoded(clip.number)]
    file = folder / "again.safetensors"
    if not file.is_file():
        made = _codes_again(chosen, decoder, encoder, seed)
        streams = {
            "reason": torch.cat([codes.reason for codes in made]).to(torch.int16),
            "recon": torch.cat([codes.recon for codes in made]).to(torch.int16),
            "lengths": torch.tensor([[len(codes.reason), len(codes.recon)] for codes in made]),
        }
        save_file(streams, file.with_suffix(".partial"))
        os.replace(file.with_suffix(".partial"), file)
    stored = load_file(file)
    reasons, recons = stored["lengths"].T.tolist()
    parts = zip(
        chosen,
        torch.split(stored["reason"].long(), reasons),
        torch.split(stored["recon"].long(), recons),
        strict=True,
    )
    return [replace(clip, codes=Codes(*codes), is_reencoded=True) for clip, *codes in parts]


def _codes_again(
    chosen: Sequence[EncodedClip], decoder: FlowDecoder, encoder: CodecEncoder, seed: int
) -> list[Codes]:
    by_length = sorted(range(len(chosen)), key=lambda at: len(chosen[at].codes.recon))
    made: dict[int, Codes] = {}
    for first in range(0, len(by_length), _BATCH):
        batch = by_length[first : first + _BATCH]
        seeds = [row_seed(seed, str(chosen[at].number), "again") for at in batch]
        waves = decoder.decode([chosen[at].codes for at in batch], seeds, windows_per_batch=_BATCH)
        made |= dict(zip(batch, encoder.encode(waves, segments_per_batch=8), strict=True))
    return [made[at] for at in range(len(chosen))]
