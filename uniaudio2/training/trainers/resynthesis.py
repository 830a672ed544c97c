"""Stage 2: the corpus with every fourth clip as the scalar codec gives it back.

Codec and language model also learn from audio that the model itself has made: its noise would
otherwise be taken for other consonants.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from uniaudio2.config import ScalarConfig
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.training.data.bands import BandAnalysis
from uniaudio2.training.data.corpus import CLIPS, PCM, Clip, Corpus
from uniaudio2.training.data.rng import step_rng

_EVERY = 4
_CLIPS_PER_CALL = 100
_MAX_NOISE = 0.12  # about what the flow transformer misses of a latent


def is_resynthesised(number: int) -> bool:
    """Tell whether a clip is re-synthesised: every second of those that are not clean."""
    return number % _EVERY == 1


@lru_cache(maxsize=1)
def _scalar(folder: Path, config_json: str) -> tuple[ScalarCodec, BandAnalysis]:
    torch.set_num_threads(1)
    config = ScalarConfig.model_validate_json(config_json)
    codec = ScalarCodec(config, with_encoder=False)
    codec.load_state_dict(load_file(folder / "scalar.safetensors"))
    return codec.eval(), BandAnalysis(config)


@lru_cache(maxsize=1)
def _clips(corpus: Path) -> list[Clip]:
    return Corpus(corpus).clips


@torch.inference_mode()
def _resynthesise(
    folder: Path, corpus: Path, config: ScalarConfig, seed: int, numbers: list[int]
) -> list[bytes]:
    codec, analysis = _scalar(folder, config.model_dump_json())
    made = []
    for number in numbers:
        wave = _clips(corpus)[number].wave()
        rng = step_rng(seed, "haze", number)
        whole = F.pad(wave, (0, -len(wave) % config.stride))
        latents = analysis(whole[None])
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        noise = rng.uniform(0, _MAX_NOISE) * torch.randn(latents.shape, generator=generator)
        again = codec.decode(latents + noise).flatten()[: len(wave)]
        made.append((again.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().tobytes())
    return made


def resynthesise(
    folder: Path, corpus: Path, result: Path, config: ScalarConfig, seed: int, workers: int
) -> None:
    """Write a corpus like another one, with some clips re-synthesised, unless it is there.

    Args:
        folder: holds ``scalar.safetensors``, the trained scalar codec.
        corpus: folder of the clips.
        result: folder of the new corpus.
        config: the scalar codec's sizes.
        seed: decides the noise.
        workers: processes.
    """
    if (result / CLIPS).is_file():
        return
    result.mkdir(exist_ok=True)
    shutil.copyfile(corpus / PCM, result / PCM)
    clips = Corpus(corpus).clips
    numbers = [number for number in range(len(clips)) if is_resynthesised(number)]
    calls = [numbers[i : i + _CLIPS_PER_CALL] for i in range(0, len(numbers), _CLIPS_PER_CALL)]
    pcm = np.memmap(result / PCM, dtype=np.int16, mode="r+")
    work = partial(_resynthesise, folder, corpus, config, seed)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for call, made in zip(calls, pool.map(work, calls), strict=True):
            for number, samples in zip(call, made, strict=True):
                clip = clips[number]
                pcm[clip.start : clip.start + clip.samples] = np.frombuffer(samples, np.int16)
    pcm.flush()
    shutil.copyfile(corpus / CLIPS, result / f"{CLIPS}.partial")
    os.replace(result / f"{CLIPS}.partial", result / CLIPS)
