"""Metrics of a finished model on voices, texts and captions that it never saw."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
from torch import Tensor

from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.lm.engine.request import RequestOutput
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.seeds import row_seed
from uniaudio2.tasks.table import TASKS
from uniaudio2.tokens.codes import Codes
from uniaudio2.training.data.corpus import Clip, Corpus
from uniaudio2.training.trainers.recogniser import Recogniser

_BATCH = 32


@dataclass(frozen=True)
class Metric:
    """One line of the evaluation table; `limit` is what the value must not pass."""

    name: str
    value: float
    limit: float
    is_error: bool
    clips: int

    @property
    def is_reached(self) -> bool:
        return self.value <= self.limit if self.is_error else self.value >= self.limit


class Evaluation:
    """Runs a model over the clips of a corpus and over their texts.

    Args:
        model: all three parts.
        recogniser: trained without any codec.
        seed: of everything that is drawn.
    """

    def __init__(self, model: UniAudio2, recogniser: Recogniser, seed: int = 0) -> None:
        self.model, self.recogniser, self.seed = model, recogniser, seed
        self.runaways, self.generated = 0, 0

    # ---- what the model does -------------------------------------------------------------

    def generate(self, task_name: str, values: Sequence[str | Codes]) -> list[RequestOutput]:
        """Generate answers of one task with its own instruction and the model's own sampling."""
        task = TASKS[task_name]
        sampling = Sampling.of_model(self.model.config, task)
        column = task.columns[0]
        requests = [
            self.model.request(
                task,
                {column: value},
                task.instruction,
                row_seed(self.seed, f"{task_name}-{number}"),
                sampling,
            )
            for number, value in enumerate(values)
        ]
        answers: list[RequestOutput] = []
        for first in range(0, len(requests), _BATCH):
            answers += self.model.generate(requests[first : first + _BATCH], sampling)
        self.generated += len(answers)
        self.runaways += sum(answer.finish_reason == "length" for answer in answers)
        return answers

    def transcribe(self, task_name: str, waves: Sequence[Tensor]) -> list[str]:
        """Transcribe or caption waves."""
        answers = self.generate(task_name, self.model.encode(waves, _BATCH))
        return [self.model.text_of(answer.text_ids) for answer in answers]

    def decode(self, codes: Sequence[Codes]) -> list[Tensor]:
        """Decode codes to waves."""
        seeds = [row_seed(self.seed, str(number), "noise") for number in range(len(codes))]
        return self.model.decode(codes, seeds, windows_per_batch=_BATCH)

    def reconstruct(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """Encode and decode waves, cut to their own lengths as the task does.

        A clip's last code reaches past its end, where the codec hears the start again.
        """
        made = self.decode(self.model.encode(waves, _BATCH))
        return [again[: len(wave)] for again, wave in zip(made, waves, strict=True)]

    def synthesize(self, task_name: str, texts: Sequence[str]) -> list[Tensor]:
        """Generate waves of texts or captions."""
        return self.decode([answer.codes for answer in self.generate(task_name, texts)])

    # ---- what is measured ----------------------------------------------------------------

    def metrics(self, corpus: Corpus, most: int) -> list[Metric]:
        """Measure the whole table.

        Args:
            corpus: of the recipe's `evaluation` groups.
            most: clips of each group.
        """
        groups: dict[str, list[Clip]] = {}
        for clip in corpus:
            groups.setdefault(clip.group, []).append(clip)
        seen = {group: clips[:most] for group, clips in groups.items()}
        found: list[Metric] = []

        def note(name: str, value: float, limit: float, is_error: bool, count: int) -> None:
            found.append(Metric(name, round(value, 4), limit, is_error, count))
            print(json.dumps(vars(found[-1])), flush=True)  # noqa: T201 - a command's output

        for group, limit in (("unseen_variants", 0.05), ("unseen_voices", 0.12)):
            texts, waves = _texts(seen[group]), [clip.wave() for clip in seen[group]]
            wer = jiwer.wer(texts, self.transcribe("asr", waves))
            note(f"asr {group}", wer, limit, True, len(texts))
        sounds = seen["unseen_sounds"]
        captions = _texts(sounds)
        captioned = self.transcribe("audio_caption", [clip.wave() for clip in sounds])
        note("audio_caption exact", _exact(captions, captioned), 0.95, False, len(captions))

        clips = seen["unseen_variants"]
        texts = _texts(clips)
        again = self.reconstruct([clip.wave() for clip in clips])
        spoken = self.synthesize("tts", texts)
        recognise = self.recogniser.transcribe
        note("recogniser, originals", jiwer.wer(texts, [recognise(c.wave()) for c in clips]), 0.05,
             True, len(texts))  # fmt: skip
        for name, waves, own, other in (
            ("reconstruct", again, 0.10, 0.15),
            ("tts", spoken, 0.10, 0.20),
        ):
            wer = jiwer.wer(texts, self.transcribe("asr", waves))
            note(f"{name} -> asr", wer, own, True, len(texts))
            wer = jiwer.wer(texts, [recognise(wave) for wave in waves])
            note(f"{name} -> recogniser", wer, other, True, len(texts))
        captioned = self.transcribe("audio_caption", self.synthesize("tta", captions))
        note("tta -> audio_caption exact", _exact(captions, captioned), 0.85, False, len(captions))
        note("runaways", self.runaways / self.generated, 0.01, True, self.generated)
        return found


def _texts(clips: Sequence[Clip]) -> list[str]:
    return [clip.text for clip in clips]


def _exact(wanted: Sequence[str], made: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(wanted, made, strict=True)) / len(wanted)


def evaluate(model: Path, recogniser: Recogniser, folder: Path, most: int) -> list[Metric]:
    """Evaluate a model folder on the clips of `folder`; prints a line for every metric."""
    begun = time.monotonic()
    metrics = Evaluation(UniAudio2.load(str(model)), recogniser).metrics(Corpus(folder), most)
    print(json.dumps({"evaluated_s": round(time.monotonic() - begun)}))  # noqa: T201 - as above
    return metrics
