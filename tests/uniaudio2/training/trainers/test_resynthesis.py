from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.uniaudio2.training.clips import sound_corpus
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.training.data.bands import BandAnalysis
from uniaudio2.training.data.corpus import Corpus
from uniaudio2.training.data.encoded import is_clean
from uniaudio2.training.recipe import NANO
from uniaudio2.training.trainers.resynthesis import is_resynthesised, resynthesise
from uniaudio2.training.trainers.scalar import init_as_oscillators


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus]:
    folder: Path = tmp_path_factory.mktemp("resynthesis")
    corpus = sound_corpus(folder / "corpus")
    torch.manual_seed(0)
    codec = ScalarCodec(NANO.model.scalar, with_encoder=False)
    init_as_oscillators(codec)
    save_file(codec.state_dict(), folder / "scalar.safetensors")
    resynthesise(folder, folder / "corpus", folder / "again", NANO.model.scalar, 1, workers=1)
    return corpus, Corpus(folder / "again")


def test_only_some_clips_change_and_all_keep_their_place(both: tuple[Corpus, Corpus]) -> None:
    before, after = both
    assert [(c.text, c.start, c.samples) for c in before] == [
        (c.text, c.start, c.samples) for c in after
    ]
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(old.wave(), new.wave()) != is_resynthesised(number)


def test_what_comes_back_has_the_bands_of_what_went_in(both: tuple[Corpus, Corpus]) -> None:
    analysis = BandAnalysis(NANO.model.scalar)
    for old, new in zip(*both, strict=True):
        levels = torch.stack([analysis(clip.wave()[None])[0].mean(-1) for clip in (old, new)])
        assert float(torch.corrcoef(levels)[0, 1]) > 0.6


def test_clean_clips_stay_clean() -> None:
    assert not any(is_clean(n) and is_resynthesised(n) for n in range(100))
    assert sum(map(is_resynthesised, range(100))) == 25
