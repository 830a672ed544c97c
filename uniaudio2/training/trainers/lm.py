"""Stage 6: the language model, all four tasks mixed, on codes made by the finished codec."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio2.config import CODEBOOKS, REASON_RATE_HZ, RECON_RATE_HZ, LmConfig
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.prompt import build_prompt
from uniaudio2.lm.tokenizer import TextTokenizer
from uniaudio2.tasks.table import TASKS
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import (
    AUDIO,
    TEXT_COLUMN,
    Prompt,
    pad_prompts,
    reason_positions,
    semantic_positions,
    text_positions,
    unconditional,
)
from uniaudio2.training.data.domain import SYMBOLS, symbols_of
from uniaudio2.training.data.encoded import EncodedClip
from uniaudio2.training.data.instructions import draw_instruction
from uniaudio2.training.data.rng import step_rng
from uniaudio2.training.trainers.loop import Loop, Losses, Schedule

_TASK_SHARES = {"asr": 0.2, "tts": 0.42, "audio_caption": 0.08, "tta": 0.3}
_UNCONDITIONAL = 0.1
_REENCODED = 0.3  # share of the input audio that the decoder has made
_POOL = 4  # batches that are drawn together and sorted by length
# The first levels of each stream decide what is heard; the last ones are almost noise.
_LEVEL_WEIGHTS = (1.0, 1.0, 1.0, 0.8, 0.6, 0.5, 0.4, 0.4)
_EMBEDDING_SPREAD = 0.05
_IGNORE = -100


@dataclass(frozen=True)
class Example:
    """A prompt and the answer that shall follow it.

    Attributes:
        place: ``[len(answer)]`` int64: the word or event that each position of an audio answer is
            in, a class of `symbols_of`, 0 behind the last one, `_IGNORE` where nothing shall
            be learnt of it.
    """

    prompt: Prompt
    answer: Prompt
    place: Tensor

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


class ExampleMaker:
    """Draws examples of all tasks.

    Args:
        clips: encoded clips; those that make audio are taken from the clean ones.
        tokenizer: text to ids.
        config: markers and cards.
        ends: for a clip's number, the reconstruction frame at which each of its words or events
            ends; clips that are not there are learnt without.
    """

    def __init__(
        self,
        clips: Sequence[EncodedClip],
        tokenizer: TextTokenizer,
        config: LmConfig,
        ends: Mapping[int, list[int]],
    ) -> None:
        speech = [clip for clip in clips if clip.is_speech]
        sounds = [clip for clip in clips if not clip.is_speech]
        self.reencoded = {
            "asr": [clip for clip in speech if clip.is_reencoded],
            "audio_caption": [clip for clip in sounds if clip.is_reencoded],
        }
        self.clips = {
            "asr": speech,
            "tts": [clip for clip in speech if clip.is_clean],
            "audio_caption": sounds,
            "tta": [clip for clip in sounds if clip.is_clean],
        }
        self.tokenizer, self.config, self.ends = tokenizer, config, ends

    def draw(self, rng: random.Random) -> Example:
        """Draw an example of a random task."""
        name = rng.choices(list(_TASK_SHARES), list(_TASK_SHARES.values()))[0]
        chosen = self.reencoded.get(name) if rng.random() < _REENCODED else None
        task, clip = TASKS[name], rng.choice(chosen or self.clips[name])
        text = self.tokenizer.encode(clip.text)
        values: dict[str, list[int] | Codes] = {
            column: clip.codes if column == "audio" else text for column in task.columns
        }
        asked = self.tokenizer.instruction(draw_instruction(name, rng))
        prompt = build_prompt(task, asked, values, self.config)
        if task.output == "text":
            assert task.output_tag  # noqa: S101 - nano's tasks have one
            opening = self.config.ids.tags[task.output_tag][0]
            answer = text_positions([opening, *text], self.config)
            return Example(prompt, answer, torch.full((len(answer),), _IGNORE))
        answer = Prompt.join(
            [
                reason_positions(clip.codes.reason, self.config),
                semantic_positions(clip.codes.recon, self.config),
            ]
        )
        if rng.random() < _UNCONDITIONAL:
            empty = unconditional(prompt, self.config)
            return Example(empty, answer, torch.full((len(answer),), _IGNORE))
        return Example(prompt, answer, self._place(clip))

    def _place(self, clip: EncodedClip) -> Tensor:
        """`Example.place` of a clip that is spoken or sounded."""
        reasons, recons = len(clip.codes.reason), len(clip.codes.recon)
        place = torch.full((reasons + recons + 4,), _IGNORE)
        if clip.number not in self.ends:
            return place
        symbols = torch.tensor([*symbols_of(clip.text), 0])
        ends = torch.tensor(self.ends[clip.number]).float()
        step = RECON_RATE_HZ / REASON_RATE_HZ  # reconstruction frames of a reasoning frame
        place[1 : 1 + reasons] = symbols[torch.searchsorted(ends, step * torch.arange(reasons))]
        place[-1 - recons : -1] = symbols[torch.searchsorted(ends, torch.arange(recons).float())]
        return place

    def batch(self, seed: int, step: int, size: int) -> list[Example]:
        """Draw examples of about one length for a step."""
        drawn, place = divmod(step, _POOL)
        rng = step_rng(seed, "lm", drawn)
        examples = sorted((self.draw(rng) for _ in range(_POOL * size)), key=len)
        order = rng.sample(range(_POOL), _POOL)
        return examples[order[place] * size : (order[place] + 1) * size]


class LmTrainer(nn.Module):
    """The language model and what only training needs: a head that says where an answer is.

    Losses of codes alone teach the first word at once and the second one very late: to find it,
    the model must know which word it has just said. The head asks for that at every position.
    """

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.lm = UniAudioLM(config)
        for embedding in (self.lm.text_embedding, self.lm.audio_embedding):
            nn.init.normal_(embedding.weight, std=_EMBEDDING_SPREAD)
        self.place_head = nn.Linear(config.backbone.dim, len(SYMBOLS) + 1)

    def losses(self, examples: Sequence[Example]) -> Losses:
        """Compute cross entropies of the answers: text ids, codebooks by level, and places."""
        lm, device = self.lm, self.lm.device
        tokens, kind, _ = pad_prompts([Prompt.join([e.prompt, e.answer]) for e in examples])
        is_answer = torch.zeros(kind.shape, dtype=torch.bool)
        place = torch.full(kind.shape, _IGNORE)
        for index, example in enumerate(examples):
            is_answer[index, len(example.prompt) : len(example)] = True
            place[index, len(example.prompt) : len(example)] = example.place
        tokens, kind, is_answer = tokens.to(device), kind.to(device), is_answer.to(device)
        hidden = lm.hidden(tokens[:, :-1], kind[:, :-1])  # [B, S, D]
        wanted, is_audio = tokens[:, 1:], kind[:, 1:] == AUDIO
        text_at, audio_at = is_answer[:, 1:] & ~is_audio, is_answer[:, 1:] & is_audio
        text = _mean_loss(lm.text_head(hidden[text_at]), wanted[text_at][:, TEXT_COLUMN])
        places = place[:, 1:].to(device)
        place_at = places != _IGNORE
        where = _mean_loss(self.place_head(hidden[place_at]), places[place_at])
        losses: Losses = {"text": text, "place": where}
        audio = text.new_zeros(())
        audio_at &= _every_other(audio_at)
        labels = wanted[audio_at][:, :CODEBOOKS]  # [N, 8]
        if len(labels):
            logits = lm.audio_logits(hidden[audio_at], labels)  # [N, 8, A]
            levels = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            levels = levels.view(-1, CODEBOOKS).mean(0)  # [8]
            weights = torch.tensor(_LEVEL_WEIGHTS, device=device)
            audio = (levels * weights).sum() / weights.sum()
            losses |= {"audio": audio, "first_level": levels[0]}
        # a text answer is a tenth as long as an audio answer, and says as much
        return {"loss": audio + text + where} | losses


def _every_other(at: Tensor) -> Tensor:
    """A checkerboard over ``[B, S]``: the local decoder takes most of a step, and frames next to
    each other teach much the same."""
    items, positions = (torch.arange(size, device=at.device) for size in at.shape)
    return (items[:, None] + positions) % 2 == 0


def _mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels) if len(labels) else logits.sum() * 0.0


def train_lm(
    folder: Path,
    clips: Sequence[EncodedClip],
    tokenizer: TextTokenizer,
    config: LmConfig,
    ends: Mapping[int, list[int]],
    schedule: Schedule,
    seed: int,
    device: str,
    batch: int = 32,
) -> UniAudioLM:
    """Train the language model.

    Args:
        folder: where checkpoint, log and result go.
        clips: of `read_encoded`.
        tokenizer: text to ids.
        config: its sizes, cards and markers.
        ends: of `align`.
        schedule: how.
        seed: decides weights and batches.
        device: torch device.
        batch: examples a step.
    """
    torch.manual_seed(seed)
    trainer = LmTrainer(config).to(device).train()
    maker = ExampleMaker(clips, tokenizer, config, ends)
    loop = Loop(folder, "lm", trainer, schedule)
    loop.run(lambda step: trainer.losses(maker.batch(seed, step, batch)))
    loop.load_result()
    return trainer.lm
