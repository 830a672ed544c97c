"""Settings of how the next id is chosen."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from uniaudio2.config import LmConfig, ModelConfig
from uniaudio2.frozen import Frozen
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tokens.streams import PAIR, Stream, shortest_answer


class Sampling(Frozen):
    """Settings of generation (published defaults: temperature 0.9, top_k 50, 500 frames).

    Attributes:
        greedy: take the most probable id; temperature, top_k and seeds then mean nothing.
        temperature: divides the logits.
        top_k: keep the k largest logits and whatever ties with the last of them; None keeps all.
        guidance: scale of classifier-free guidance, the engine's `cfg_factor`: 1 is off; above 1 an
            unconditional sequence runs beside the conditional one of every request.
        max_frames: most steps of an answer: audio frames or text ids, markers included.
        reason_limit: most reasoning frames of an answer when constrained; None leaves room for the
            reconstruction frames that belong to them.
        constrained: allow only ids that the codec can decode, in whole marker frames and two
            phases; false is the published rule, which allows more and may return nothing.
        no_repeat_ngram_size: texts only: no sequence of so many ids occurs twice in an answer.
        repetition_penalty: texts only: above 1 it makes ids that an answer holds already less
            probable; 1 is off.
        logprobs: tell how probable the tokens of an answer were; what is chosen is the same.
    """

    greedy: bool = False
    temperature: float = 0.9
    top_k: int | None = 50
    guidance: float = 1.0
    max_frames: int = 500
    reason_limit: int | None = None
    constrained: bool = True
    no_repeat_ngram_size: int | None = None
    repetition_penalty: float = 1.0
    logprobs: bool = False

    @model_validator(mode="after")
    def _in_range(self) -> Sampling:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(
                f"temperature {self.temperature} must be above 0; for no randomness set greedy"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k} must be at least 1; leave it null to keep all")
        if not (self.guidance >= 1 and math.isfinite(self.guidance)):
            raise ValueError(f"guidance {self.guidance} must be at least 1; 1 turns it off")
        if self.max_frames < 1:
            raise ValueError(f"max_frames {self.max_frames} must be at least 1; 500 is usual")
        if self.reason_limit is not None and self.reason_limit < 1:
            raise ValueError(
                f"reason_limit {self.reason_limit} must be at least 1; leave it null for a share "
                "of max_frames"
            )
        if self.no_repeat_ngram_size is not None and self.no_repeat_ngram_size < 2:
            raise ValueError(
                f"no_repeat_ngram_size {self.no_repeat_ngram_size} must be at least 2; 3 is usual, "
                "null turns it off"
            )
        if not (self.repetition_penalty >= 1 and math.isfinite(self.repetition_penalty)):
            raise ValueError(
                f"repetition_penalty {self.repetition_penalty} must be at least 1; 1 turns it off"
            )
        return self

    @property
    def cfg_factor(self) -> float:
        """The guidance scale, as the engine calls it."""
        return self.guidance

    @property
    def sequences_per_request(self) -> int:
        """Sequences that a request has in the KV cache: 2 under guidance, else 1."""
        return 2 if self.cfg_factor > 1 else 1

    @property
    def penalises_repetition(self) -> bool:
        """Whether what a text holds already changes what may follow."""
        return self.no_repeat_ngram_size is not None or self.repetition_penalty > 1

    @staticmethod
    def of_model(model: ModelConfig, task: TaskSpec) -> Sampling:
        """Take what a model recommends for a task."""
        own = model.generation_by_task.get(task.name, model.generation)
        return Sampling(
            greedy=task.greedy,
            temperature=own.temperature,
            top_k=own.top_k,
            guidance=1.0 if task.output == "text" else own.guidance,
            max_frames=min(task.max_frames, own.max_frames or task.max_frames),
        )

    def check_output(
        self, output: Literal["audio", "text"], answer: tuple[Stream, ...] = PAIR
    ) -> None:
        """Refuse settings that cannot serve an output.

        Raises:
            ValueError: `max_frames` leaves no room for any audio, or audio is to be kept from
                repeating itself, which is for texts.
        """
        shortest = shortest_answer(answer)
        if output == "audio" and self.constrained and self.max_frames < shortest:
            raise ValueError(
                f"max_frames {self.max_frames} must be at least {shortest} for audio: "
                f"{2 * len(answer) - 1} marker frames and one frame of each stream; raise it"
            )
        if output == "audio" and self.penalises_repetition:
            raise ValueError(
                "no_repeat_ngram_size and repetition_penalty keep texts from repeating themselves; "
                "this task yields audio: leave them out"
            )

    def check_vocabulary(self, config: LmConfig) -> None:
        """Refuse a top_k that some phase of generation could not serve, before it begins.

        Raises:
            ValueError: top_k exceeds the smallest set of ids that a step may choose from.
        """
        smallest = min(config.semantic_card, config.audio_vocab, config.text_vocab)
        if self.top_k is not None and not self.greedy and self.top_k > smallest:
            raise ValueError(
                f"top_k {self.top_k} must be at most {smallest}, the size of the smallest "
                "vocabulary; lower it or leave it null"
            )
