"""What the model hears of a sound, for scores that compare it with a text."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.audio.spans import Levels, SpanRule, Spans, cut_spans, find_spans
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.scores.spec import TRANSCRIPTION
from uniaudio2.tasks.table import TASKS


class Transcriber:
    """Transcribes waves as task `asr` does.

    Args:
        model: a model's encoder and language model.
        rule: cuts what is longer than a span of it.
        slots: spans that are decoded together.
    """

    def __init__(self, model: UniAudio2, rule: SpanRule, slots: int = 16) -> None:
        self.model, self.rule, self.slots = model, rule, slots
        self.task = TASKS[TRANSCRIPTION]
        self.sampling = Sampling.of_model(model.config, self.task)

    def __call__(self, waves: Sequence[Tensor]) -> list[str]:
        """Transcribe.

        Args:
            waves: each ``[N]`` float32, mono, 24 kHz, N > 0.

        Returns:
            one text a wave, of its spans joined by spaces; "" where it is all silence.
        """
        spans = [self._spans(wave) for wave in waves]
        clips = [
            clip for wave, own in zip(waves, spans, strict=True) for clip in cut_spans([wave], own)
        ]
        if not clips:
            return [""] * len(waves)
        requests = [
            self.model.request(self.task, {"audio": codes}, self.task.instruction, 0, self.sampling)
            for codes in self.model.encode(clips)
        ]
        answers = iter(self.model.generate(requests, self.sampling, self.slots))
        texts = [[self.model.text_of(next(answers).text_ids) for _ in own] for own in spans]
        return [" ".join(filter(None, map(str.strip, own))) for own in texts]

    def _spans(self, wave: Tensor) -> Spans:
        if len(wave) <= self.rule.max_s * SAMPLE_RATE:
            return [(0, len(wave))]
        levels = Levels(SAMPLE_RATE)
        levels.add(wave)
        return find_spans(levels.energies(), len(wave), self.rule)
