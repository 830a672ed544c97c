"""The bundled model hears and speaks: words of clips that ship with the package, not figures."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import jiwer
import pytest
import torch

from pipelines.cli.demo import EXAMPLES
from uniaudio2.audio.files import decode_audio
from uniaudio2.checkpoint.folders import BUNDLED, load_config, model_folder
from uniaudio2.checkpoint.native import save_model
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import get_task
from uniaudio2.tokens.codes import Codes

LARGEST_BYTES = 25 * 2**20


@lru_cache(maxsize=1)
def nano() -> UniAudio2:
    return UniAudio2.load("nano")


def answer(task_name: str, value: str | Codes, seed: int = 1) -> tuple[str, Codes]:
    task = get_task(task_name)
    sampling = Sampling.of_model(nano().config, task)
    request = nano().request(task, {task.columns[0]: value}, task.instruction, seed, sampling)
    (generated,) = nano().generate([request], sampling)
    return nano().text_of(generated.text_ids), generated.codes


def read(manifest: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (EXAMPLES / manifest).read_text().splitlines()]


def encode(path: str) -> Codes:
    return nano().encode([decode_audio((EXAMPLES / path).read_bytes())])[0]


@pytest.mark.parametrize("row", read("speech.jsonl"), ids=lambda row: row["id"])
def test_it_transcribes_the_bundled_speech(row: dict[str, str]) -> None:
    assert answer("asr", encode(row["audio"]))[0] == row["text"]


@pytest.mark.parametrize("row", read("sounds.jsonl"), ids=lambda row: row["id"])
def test_it_names_the_bundled_sounds(row: dict[str, str]) -> None:
    assert answer("audio_caption", encode(row["audio"]))[0] == row["caption"]


def say(task_name: str, texts: list[str]) -> list[torch.Tensor]:
    codes = [answer(task_name, text)[1] for text in texts]
    return nano().decode(codes, seeds=list(range(len(texts))))


def test_it_says_texts_that_it_then_hears() -> None:
    texts = ["happy dog", "one two three", "stop", "go forward four", "yes", "marvin six bird"]
    waves = say("tts", texts)
    assert all(0.005 < float(wave.square().mean().sqrt()) < 0.5 for wave in waves)
    heard = [answer("asr", codes)[0] for codes in nano().encode(waves)]
    # by chance one word in thirty-five would be right
    assert jiwer.wer(texts, heard) < 0.4, heard


def test_it_makes_sounds_that_it_then_names() -> None:
    captions = ["a rising sweep", "a falling sweep", "white noise", "a click train", "a chord"]
    waves = say("tta", captions)
    heard = [answer("audio_caption", codes)[0] for codes in nano().encode(waves)]
    assert sum(one == other for one, other in zip(captions, heard, strict=True)) >= 3


def test_it_is_small_and_its_fingerprint_is_that_of_its_contents(tmp_path: Path) -> None:
    files = [path for path in (BUNDLED / "nano").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST_BYTES
    config = load_config(model_folder("nano"))
    assert config.trained
    parts = {"encoder": nano()._encoder, "lm": nano()._lm, "decoder": nano()._decoder}
    again = save_model(tmp_path, config, parts, torch.float16)  # type: ignore[arg-type]
    assert again.fingerprint == config.fingerprint
