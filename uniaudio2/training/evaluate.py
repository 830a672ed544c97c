"""What a finished model reaches on voices, texts and captions that it never saw."""

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

_ROWS_PER_BATCH = 32


@dataclass(frozen=True)
class Figure:
    """One line of the evaluation table; `limit` is what the figure must not pass."""

    name: str
    value: float
    limit: float
    is_error: bool
    rows: int

    @property
    def is_reached(self) -> bool:
        return self.value <= self.limit if self.is_error else self.value >= self.limit


class Evaluation:
    """Runs a model over the clips of a corpus and over their texts.

    Args:
        model: all three parts.
        recogniser: the judge that has heard no codec.
        seed: of everything that is drawn.
    """

    def __init__(self, model: UniAudio2, recogniser: Recogniser, seed: int = 0) -> None:
        self.model, self.recogniser, self.seed = model, recogniser, seed
        self.runaways, self.generated = 0, 0

    # ---- what the model does -------------------------------------------------------------

    def generate(self, task_name: str, values: Sequence[str | Codes]) -> list[RequestOutput]:
        """Answers of one task with its own instruction and the model's own sampling."""
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
        for first in range(0, len(requests), _ROWS_PER_BATCH):
            answers += self.model.generate(requests[first : first + _ROWS_PER_BATCH], sampling)
        self.generated += len(answers)
        self.runaways += sum(answer.finish_reason == "length" for answer in answers)
        return answers

    def hear(self, task_name: str, waves: Sequence[Tensor]) -> list[str]:
        """Texts of waves."""
        answers = self.generate(task_name, self.model.encode(waves, _ROWS_PER_BATCH))
        return [self.model.text_of(answer.text_ids) for answer in answers]

    def decode(self, codes: Sequence[Codes]) -> list[Tensor]:
        """Waves of codes."""
        seeds = [row_seed(self.seed, str(number), "noise") for number in range(len(codes))]
        return self.model.decode(codes, seeds, windows_per_batch=_ROWS_PER_BATCH)

    def reconstruct(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """Waves through codec and decoder, cut to their own lengths as the task does.

        A clip's last code reaches past its end, where the codec hears the start again.
        """
        made = self.decode(self.model.encode(waves, _ROWS_PER_BATCH))
        return [again[: len(wave)] for again, wave in zip(made, waves, strict=True)]

    def speak(self, task_name: str, texts: Sequence[str]) -> list[Tensor]:
        """Waves of texts or captions."""
        return self.decode([answer.codes for answer in self.generate(task_name, texts)])

    # ---- what is measured ----------------------------------------------------------------

    def figures(self, corpus: Corpus, rows: int) -> list[Figure]:
        """The whole table.

        Args:
            corpus: of the recipe's `judged` groups.
            rows: most clips of each group.
        """
        groups: dict[str, list[Clip]] = {}
        for clip in corpus:
            groups.setdefault(clip.group, []).append(clip)
        seen = {group: clips[:rows] for group, clips in groups.items()}
        found: list[Figure] = []

        def note(name: str, value: float, limit: float, is_error: bool, count: int) -> None:
            found.append(Figure(name, round(value, 4), limit, is_error, count))
            print(json.dumps(vars(found[-1])), flush=True)  # noqa: T201 - a command's output

        for group, limit in (("unseen_variants", 0.05), ("unseen_voices", 0.12)):
            texts, waves = _texts(seen[group]), [clip.wave() for clip in seen[group]]
            note(f"asr {group}", jiwer.wer(texts, self.hear("asr", waves)), limit, True, len(texts))
        sounds = seen["unseen_sounds"]
        captions = _texts(sounds)
        heard = self.hear("audio_caption", [clip.wave() for clip in sounds])
        note("audio_caption exact", _exact(captions, heard), 0.95, False, len(captions))

        clips = seen["unseen_variants"]
        texts = _texts(clips)
        again = self.reconstruct([clip.wave() for clip in clips])
        spoken = self.speak("tts", texts)
        judge = self.recogniser.transcribe
        note("recogniser, originals", jiwer.wer(texts, [judge(c.wave()) for c in clips]), 0.05,
             True, len(texts))  # fmt: skip
        for name, waves, own, other in (
            ("reconstruct", again, 0.10, 0.15),
            ("tts", spoken, 0.10, 0.20),
        ):
            note(f"{name} -> asr", jiwer.wer(texts, self.hear("asr", waves)), own, True, len(texts))
            note(f"{name} -> recogniser", jiwer.wer(texts, [judge(wave) for wave in waves]), other,
                 True, len(texts))  # fmt: skip
        heard = self.hear("audio_caption", self.speak("tta", captions))
        note("tta -> audio_caption exact", _exact(captions, heard), 0.85, False, len(captions))
        note("runaways", self.runaways / self.generated, 0.01, True, self.generated)
        return found


def _texts(clips: Sequence[Clip]) -> list[str]:
    return [clip.text for clip in clips]


def _exact(wanted: Sequence[str], heard: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(wanted, heard, strict=True)) / len(wanted)


def evaluate(model: Path, recogniser: Recogniser, judged: Path, rows: int) -> list[Figure]:
    """Evaluate a model folder on the clips of `judged`; prints a line for every figure."""
    begun = time.monotonic()
    figures = Evaluation(UniAudio2.load(str(model)), recogniser).figures(Corpus(judged), rows)
    print(json.dumps({"evaluated_s": round(time.monotonic() - begun)}))  # noqa: T201 - as above
    return figures
