"""The bare model: load by name or folder, encode, generate, decode."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import tone
from uniaudio2 import UniAudio2
from uniaudio2.checkpoint.folders import load_config, model_fingerprint, model_folder
from uniaudio2.checkpoint.native import save_model
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import get_task


@pytest.fixture(scope="module")
def tiny() -> UniAudio2:
    return UniAudio2.load("tiny")


def test_from_sound_to_codes_and_back(tiny: UniAudio2) -> None:
    clips = [torch.from_numpy(tone(seconds)) for seconds in (0.3, 6.5, 1.0)]
    codes = tiny.encode(clips)
    assert [len(one.recon) for one in codes] == [len(clip) // 1920 + 1 for clip in clips]
    assert [len(one.reason) for one in codes] == [len(clip) // 4800 + 1 for clip in clips]
    waves = tiny.decode(codes, seeds=[1, 2, 3])
    assert [len(wave) for wave in waves] == [1920 * len(one.recon) for one in codes]
    assert all(bool(torch.isfinite(wave).all()) for wave in waves)


def test_every_task_with_a_prompt_generates(tiny: UniAudio2) -> None:
    (codes,) = tiny.encode([torch.from_numpy(tone(0.5))])
    sampling = Sampling(max_frames=12, top_k=20)
    for name in ("asr", "tts", "instruct_tts", "speech_edit", "audio_understanding"):
        task = get_task(name)
        values = {column: codes if column == "audio" else "hello" for column in task.columns}
        request = tiny.request(task, values, task.instruction, 7, sampling)
        (answer,) = tiny.generate([request], sampling)
        assert (len(answer.codes.recon) > 0) == (task.output == "audio")
        assert isinstance(tiny.text_of(answer.text_ids), str)


def test_only_the_parts_that_are_asked_for() -> None:
    encoder = UniAudio2.load("tiny", parts=("encoder",))
    with pytest.raises(ValueError, match="component 'decoder' was not loaded"):
        encoder.decode([], [])


def test_seeded_weights_are_the_same_whatever_is_loaded(tiny: UniAudio2) -> None:
    clip = torch.from_numpy(tone(0.5))
    alone = UniAudio2.load("tiny", parts=("encoder",)).encode([clip])[0]
    assert torch.equal(alone.recon, tiny.encode([clip])[0].recon)


def test_a_saved_model_is_the_same_model(tiny: UniAudio2, tmp_path: Path) -> None:
    parts = {"encoder": tiny._encoder, "lm": tiny._lm, "decoder": tiny._decoder}
    saved = save_model(tmp_path / "m", tiny.config, parts)  # type: ignore[arg-type]
    shutil.copytree(model_folder("tiny") / "tokenizer", tmp_path / "m/tokenizer")
    assert model_fingerprint(load_config(tmp_path / "m")) == saved.fingerprint
    again = UniAudio2.load(str(tmp_path / "m"))
    clip = torch.from_numpy(tone(0.5))
    (first,), (second,) = tiny.encode([clip]), again.encode([clip])
    assert torch.equal(first.recon, second.recon)
    assert torch.equal(tiny.decode([first], [5])[0], again.decode([second], [5])[0])


def test_other_weights_of_equal_shape_are_another_model(tiny: UniAudio2, tmp_path: Path) -> None:
    from uniaudio2.checkpoint.native import draw_weights
    from uniaudio2.lm.model import UniAudioLM

    prints = []
    for seed in (1, 1, 2):
        lm = UniAudioLM(tiny.config.lm)
        draw_weights(lm, "lm", seed)
        prints.append(save_model(tmp_path / str(seed), tiny.config, {"lm": lm}).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_model_with_missing_weights_is_refused(tiny: UniAudio2, tmp_path: Path) -> None:
    assert tiny._encoder is not None
    save_model(tmp_path, tiny.config, {"encoder": tiny._encoder})
    file = tmp_path / "encoder.safetensors"
    tensors = load_file(file)
    tensors["surplus"] = tensors.pop("thinking.query_token")
    save_file(tensors, file)
    with pytest.raises(ValueError, match=r"1 missing \['thinking.query_token'\], 1 unexpected"):
        UniAudio2.load(str(tmp_path), parts=("encoder",))
    file.unlink()
    with pytest.raises(ValueError, match=r"encoder.safetensors is missing"):
        UniAudio2.load(str(tmp_path), parts=("encoder",))


def test_unknown_models_name_the_bundled_ones() -> None:
    with pytest.raises(ValueError, match="did you mean 'tiny'"):
        UniAudio2.load("tinny")
