"""The whole recipe in miniature: every stage runs, and a model folder comes out."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from tests.uniaudio2.training.clips import some_sounds
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.training.data.corpus import Clip, Corpus, Group
from uniaudio2.training.evaluate import Evaluation
from uniaudio2.training.recipe import NANO, Recipe
from uniaudio2.training.stages import STAGES, TrainingRun
from uniaudio2.training.trainers.loop import Schedule
from uniaudio2.training.trainers.recogniser import Recogniser


class NoEspeak(Corpus):
    """A corpus of sounds of which two in four pass for speech of two words."""

    def __init__(self, folder: Path, groups: tuple[Group, ...] | None = None) -> None:
        super().__init__(folder, groups)
        self.clips = [
            Clip("yes no", "train", clip.samples, clip.start, clip.pcm) if n % 4 > 1 else clip
            for n, clip in enumerate(self.clips)
        ]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRun:
    for module in ("stages", "data.encoded"):
        monkeypatch.setattr(f"uniaudio2.training.{module}.Corpus", NoEspeak)
    short = Schedule(steps=2)
    recipe = Recipe(
        model=load_config(model_folder("tiny")).model_copy(
            update={"name": "mini", "seed": None, "scalar": NANO.model.scalar}
        ),
        corpus={"sounds": 8},
        evaluation={"unseen_sounds": 2},
        **dict.fromkeys(("scalar", "codec", "lm", "flow", "recogniser"), short),
    )
    return TrainingRun(tmp_path, recipe, "cpu", workers=1)


def test_every_stage_runs_and_a_model_comes_out(run: TrainingRun) -> None:
    for stage in STAGES.values():
        stage(run)
    model = UniAudio2.load(str(run.model_folder))
    assert model.config.fingerprint.startswith("mini-")
    wave = some_sounds(1)[0].wave()
    (codes,) = model.encode([wave])
    assert codes.recon.shape == (len(wave) // 1920 + 1, 8)
    # what is stored is what was trained, in half precision
    trained = run.codec().encoder
    expected = trained.encode([wave])[0]
    assert float((codes.recon[:, 0] == expected.recon[:, 0]).float().mean()) > 0.8
    (again,) = model.decode([codes], seeds=[1])
    assert bool(torch.isfinite(again).all())
    before = (run.folder / "lm.safetensors").stat().st_mtime_ns
    STAGES["lm"](run)
    assert (run.folder / "lm.safetensors").stat().st_mtime_ns == before


def test_the_evaluation_measures_every_figure() -> None:
    groups = [group for group in get_args(Group) if group.startswith("unseen")]
    corpus = NoEspeak.__new__(NoEspeak)
    corpus.clips = [clip for group in groups for clip in some_sounds(2, group)]
    evaluation = Evaluation(UniAudio2.load("tiny"), Recogniser().eval())
    waves = [clip.wave() for clip in some_sounds(3)]
    assert [len(wave) for wave in evaluation.reconstruct(waves)] == [len(wave) for wave in waves]
    figures = evaluation.metrics(corpus, most=2)
    assert len(figures) == 10
    # an untrained model reaches nothing, and the table says so
    reached = {figure.name for figure in figures if figure.is_reached}
    assert reached <= {"runaways"}
