"""The corpus as codes, made once: what the language model and the flow decoder learn from."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.segments import reason_frames, recon_frames
from uniaudio2.config import CodecConfig
from uniaudio2.tokens.codes import Codes
from uniaudio2.training.data.augment import augment
from uniaudio2.training.data.corpus import Clip, Corpus
from uniaudio2.training.data.rng import step_rng

_SEGMENTS_PER_BATCH = 8
_CLIPS_PER_FILE = 200


def is_clean(number: int) -> bool:
    """Tell whether a clip is encoded as it is, for the tasks that make audio: every other one.

    The rest are augmented, for the tasks that understand audio.
    """
    return number % 2 == 0


def whole_codes(wave: Tensor, config: CodecConfig) -> Tensor:
    """Pad a wave with silence so that its last code hears no repetition of its start."""
    return F.pad(wave, (0, whole_samples(len(wave), config) - len(wave)))


def whole_samples(samples: int, config: CodecConfig) -> int:
    """Count the samples of a clip that `whole_codes` has padded."""
    return samples // config.recon_samples * config.recon_samples + config.recon_samples - 1


def training_wave(clip: Clip, number: int, seed: int, config: CodecConfig) -> Tensor:
    """Make the wave that is encoded for a clip: ``[N]`` float32."""
    if is_clean(number):
        return whole_codes(clip.wave(), config)
    return augment(clip.wave(), step_rng(seed, "heard", number))


@dataclass(frozen=True)
class EncodedClip:
    """A clip's text and codes.

    Attributes:
        number: its place in the corpus.
        text: words or caption.
        is_speech: or else sounds.
        codes: of the clip, or of what the decoder made of it.
        is_reencoded: whether the decoder has made it.
    """

    number: int
    text: str
    is_speech: bool
    codes: Codes
    is_reencoded: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether generating it may be learnt."""
        return is_clean(self.number) and not self.is_reencoded


@lru_cache(maxsize=1)
def _encoder(folder: Path, config_json: str, device: str) -> CodecEncoder:
    """The trained encoder, loaded once in each process."""
    torch.set_num_threads(1)
    encoder = CodecEncoder(CodecConfig.model_validate_json(config_json))
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return encoder.to(device)


@lru_cache(maxsize=1)
def _clips(corpus: Path) -> list[Clip]:
    return Corpus(corpus).clips


def _encode_clips(
    folder: Path, corpus: Path, config: CodecConfig, seed: int, device: str, numbers: range
) -> Path:
    """Encode some clips into a file of their own, unless it is there already."""
    file = folder / "codes" / f"{numbers.start:08d}.safetensors"
    if file.is_file():
        return file
    clips = _clips(corpus)
    encoder = _encoder(folder, config.model_dump_json(), device)
    waves = [training_wave(clips[number], number, seed, config) for number in numbers]
    codes = encoder.encode(waves, _SEGMENTS_PER_BATCH)
    streams = {
        "reason": torch.cat([one.reason for one in codes]).to(torch.int16),
        "recon": torch.cat([one.recon for one in codes]).to(torch.int16),
    }
    save_file(streams, file.with_suffix(".partial"))
    return file.with_suffix(".partial").rename(file)


def encode_corpus(
    folder: Path, corpus: Path, config: CodecConfig, seed: int, device: str, workers: int
) -> None:
    """Encode every clip of a corpus into ``codes.safetensors``, unless it is there already.

    Args:
        folder: holds ``encoder.safetensors``, the trained encoder's state.
        corpus: folder of the clips.
        config: the codec's sizes.
        seed: decides how clips are augmented.
        device: torch device.
        workers: processes.
    """
    if (folder / "codes.safetensors").is_file():
        return
    (folder / "codes").mkdir(exist_ok=True)
    count = len(Corpus(corpus))
    calls = [range(i, min(i + _CLIPS_PER_FILE, count)) for i in range(0, count, _CLIPS_PER_FILE)]
    work = partial(_encode_clips, folder, corpus, config, seed, device)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        files = list(pool.map(work, calls))
    loaded = [load_file(file) for file in files]
    merged = {name: torch.cat([one[name] for one in loaded]) for name in ("reason", "recon")}
    save_file(merged, folder / "codes.safetensors")


def read_encoded(folder: Path, corpus: Path, config: CodecConfig) -> list[EncodedClip]:
    """Read the clips of `encode_corpus`, in the corpus's order."""
    stored = load_file(folder / "codes.safetensors")
    clips, reason_at, recon_at = [], 0, 0
    for number, clip in enumerate(Corpus(corpus)):
        samples = whole_samples(clip.samples, config) if is_clean(number) else clip.samples
        reasons, recons = reason_frames(samples, config), recon_frames(samples, config)
        codes = Codes(
            stored["reason"][reason_at : reason_at + reasons].long(),
            stored["recon"][recon_at : recon_at + recons].long(),
        )
        reason_at, recon_at = reason_at + reasons, recon_at + recons
        clips.append(EncodedClip(number, clip.text, clip.is_speech, codes))
    return clips
