from __future__ import annotations

from pathlib import Path

import torch

from tests.uniaudio2.training.clips import encoded_clips
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.training.data.encoded import EncodedClip, is_clean
from uniaudio2.training.trainers.reencoding import is_reencoded, reencode


def numbered(count: int) -> list[EncodedClip]:
    config = UniAudio2.load("tiny").config.codec
    clips = encoded_clips(count, config.reasoning.size, config.pronunciation.size)
    return [EncodedClip(n, c.text, c.is_speech, c.codes) for n, c in enumerate(clips)]


def test_chosen_clips_are_clean_and_few() -> None:
    chosen = [number for number in range(1400) if is_reencoded(number)]
    assert len(chosen) == 100 and all(is_clean(number) for number in chosen)


def test_clips_keep_their_texts_and_get_the_codes_of_what_was_made(tmp_path: Path) -> None:
    model = UniAudio2.load("tiny")
    decoder, encoder = model._decoder, model._encoder
    assert decoder and encoder
    clips = numbered(45)
    again = reencode(tmp_path, clips, decoder, encoder, seed=1)
    assert [clip.number for clip in again] == [n for n in range(45) if is_reencoded(n)]
    for one in again:
        before = clips[one.number]
        assert (one.text, one.is_speech, one.is_reencoded) == (before.text, before.is_speech, True)
        assert not one.is_clean, "what the decoder has made is not what shall be made"
        # the decoder's wave is whole codes long, so the codec hears one code more
        assert len(one.codes.recon) == len(before.codes.recon) + 1
    stored = (tmp_path / "again.safetensors").stat().st_mtime_ns
    once_more = reencode(tmp_path, clips, decoder, encoder, seed=1)
    assert (tmp_path / "again.safetensors").stat().st_mtime_ns == stored
    for one, other in zip(again, once_more, strict=True):
        assert torch.equal(one.codes.recon, other.codes.recon)
        assert torch.equal(one.codes.reason, other.codes.reason)
