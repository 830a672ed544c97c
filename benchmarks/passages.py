"""Long texts: how many of the words that are asked for are heard, with and without passages.

nano speaks texts drawn of its words, and hears them again: each passage by itself with silence
behind it, as it knows speech. It learnt none of more than six words.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import soundfile
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from pipelines import run_job
from pipelines.cli.demo import read_results
from pipelines.config.make_job import make_job
from uniaudio2 import UniAudio2
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.scores.words import words_of
from uniaudio2.tasks.table import get_task
from uniaudio2.training.data.domain import WORDS

_SILENCE_S = 0.4
_HEARD_S = 4.0  # that nano hears at once
_SLOTS = 16


def run(quick: bool = False) -> dict[str, float]:
    """Speak long texts in both ways; prints words asked for and heard."""
    texts = _texts(1 if quick else 3)
    figures = {}
    for mode in ("whole", "passages"):
        with tempfile.TemporaryDirectory() as folder:
            rows = _spoken(Path(folder), texts, mode)
            for kind in ("words", "sentences"):
                own = [row for row in rows if row["id"].startswith(kind)]
                asked = sum(len(words_of(row["text"])) for row in own)
                errors = sum(errors_of_passages(Path(folder) / "out", row) for row in own)
                seconds = sum(row["duration_s"] for row in own)
                cut = sum(row["finish_reason"] == "length" for row in own)
                figures[f"passages.{kind}_{mode}_wer"] = errors / asked
                print(
                    f"{kind:<10} {mode:<9} {asked} words asked for, {errors} of them wrong or not "
                    f"heard ({errors / asked:.1%}), {seconds:.1f} s of sound, {cut} cut short",
                    flush=True,
                )
    return figures


def _texts(count: int) -> dict[str, str]:
    """Texts of 200 words without punctuation, and of eight sentences."""
    draws = random.Random(24)  # noqa: S311 - which words are said
    texts = {f"words-{n}": " ".join(draws.choices(WORDS, k=200)) for n in range(count)}
    for number in range(3 * count):
        sentences = [" ".join(draws.choices(WORDS, k=draws.randint(3, 8))) for _ in range(8)]
        texts[f"sentences-{number}"] = ". ".join(sentences) + "."
    return texts


def _spoken(folder: Path, texts: dict[str, str], mode: str) -> list[dict[str, Any]]:
    lines = [json.dumps({"id": name, "text": text}) for name, text in texts.items()]
    (folder / "in.jsonl").write_text("\n".join(lines))
    given = {"task": "tts", "input": str(folder / "in.jsonl"), "output": str(folder / "out")}
    run_job(make_job({**given, "executor": "inline"}, sets=(f"tts.long_text={mode}",)))
    return read_results(given["output"])


def errors_of_passages(output: Path, row: dict[str, Any]) -> int:
    """Words of a row that are wrong, missing or too many, as nano hears them.

    Args:
        output: of the run.
        row: a result of it.
    """
    samples, _ = soundfile.read(output / row["audio_path"], dtype="float32")
    wave = torch.from_numpy(samples)
    if not row["passages"]:
        clips = list(wave.split(int(_HEARD_S * SAMPLE_RATE)))
        return _errors(words_of(row["text"]), [word for one in heard(clips) for word in one])
    told = row["passages"]
    clips = [wave[_at(one["start_s"]) : _at(one["end_s"])] for one in told]
    clips = [torch.nn.functional.pad(clip, (0, _at(_SILENCE_S))) for clip in clips]
    pairs = zip(told, heard(clips), strict=True)
    return sum(_errors(words_of(one["text"]), words) for one, words in pairs)


def _at(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _errors(wanted: Sequence[str], found: Sequence[str]) -> int:
    return Levenshtein.distance(wanted, found)


def heard(clips: Sequence[Tensor]) -> list[list[str]]:
    """The words that nano hears in clips, each ``[N]`` at 24 kHz."""
    model, task = _listener(), get_task("asr")
    sampling = Sampling.of_model(model.config, task)
    requests = [
        model.request(task, {"audio": codes}, task.instruction, 0, sampling)
        for codes in model.encode(clips)
    ]
    outputs = model.generate(requests, sampling, _SLOTS)
    return [words_of(model.text_of(output.text_ids)) for output in outputs]


@lru_cache(maxsize=1)
def _listener() -> UniAudio2:
    return UniAudio2.load("nano", parts=("encoder", "lm"))
