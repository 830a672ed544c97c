"""The token grid of the language model: positions by nine columns.

Columns 0..7 hold one audio id per codebook, column 8 a text id; a position is text, audio or
padding.
Reason ids are used as they are, semantic (reconstruction) ids are shifted by the reason card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniaudio2.config import CODEBOOKS, LmConfig
from uniaudio2.lazily import torch
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.streams import PAIR, Stream

if TYPE_CHECKING:
    from torch import Tensor

PADDING, TEXT, AUDIO = 0, 1, 2
TEXT_COLUMN = CODEBOOKS
COLUMNS = CODEBOOKS + 1


@dataclass(frozen=True)
class Prompt:
    """Positions that the model reads before it answers.

    Attributes:
        tokens: ``[S, 9]`` int64; unused columns are 0.
        kind: ``[S]`` uint8, one of `PADDING`, `TEXT`, `AUDIO`.
    """

    tokens: Tensor
    kind: Tensor

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    @staticmethod
    def join(prompts: Sequence[Prompt]) -> Prompt:
        """Concatenate prompts in order."""
        return Prompt(
            torch.cat([one.tokens for one in prompts]), torch.cat([one.kind for one in prompts])
        )


def text_positions(ids: Sequence[int], config: LmConfig, tag: str | None = None) -> Prompt:
    """Lay out text ids one per position, between ``<tag>`` and ``</tag>`` when a tag is given.

    Args:
        ids: text ids, their own bos and eos included.
        config: the language model's configuration.
        tag: a name of ``config.ids.tags`` or None.

    Raises:
        KeyError: the tag is not in the configuration.
        ValueError: an id lies outside the text vocabulary.
    """
    ids = list(ids)
    if ids and not 0 <= min(ids) <= max(ids) < config.text_vocab:
        raise ValueError(
            f"text ids {min(ids)}..{max(ids)} must lie in 0..{config.text_vocab - 1}; "
            "use this model's own tokenizer"
        )
    if tag is not None:
        opening, closing = config.ids.tags[tag]
        ids = [opening, *ids, closing]
    tokens = torch.zeros(len(ids), COLUMNS, dtype=torch.int64)  # [S, 9]
    tokens[:, TEXT_COLUMN] = torch.tensor(ids, dtype=torch.int64)
    return Prompt(tokens, torch.full((len(ids),), TEXT, dtype=torch.uint8))


def _check_card(codes: Tensor, card: int, name: str) -> None:
    """Refuse ids of another card or codebook, which would be read without complaint."""
    if codes.ndim != 2 or codes.shape[1] != CODEBOOKS:
        raise ValueError(
            f"{name} codes have shape {tuple(codes.shape)}; they must be [T, {CODEBOOKS}], "
            "time first"
        )
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < card:
        raise ValueError(
            f"{name} codes {int(codes.min())}..{int(codes.max())} must lie in 0..{card - 1}; "
            "were they made by this model's codec?"
        )


def _between_markers(codes: Tensor, bos: int, eos: int) -> Prompt:
    first = torch.full((1, CODEBOOKS), bos, dtype=torch.int64)
    last = torch.full((1, CODEBOOKS), eos, dtype=torch.int64)
    tokens = torch.zeros(codes.shape[0] + 2, COLUMNS, dtype=torch.int64)  # [T + 2, 9]
    tokens[:, :CODEBOOKS] = torch.cat([first, codes.to(torch.int64), last])
    return Prompt(tokens, torch.full((tokens.shape[0],), AUDIO, dtype=torch.uint8))


def reason_positions(codes: Tensor, config: LmConfig) -> Prompt:
    """Lay out reasoning codes ``[Tq, 8]`` between their bos and eos frames.

    Raises:
        ValueError: wrong shape, or a code outside the reason card.
    """
    _check_card(codes, config.reason_card, "reason")
    return _between_markers(codes, config.ids.reason_bos, config.ids.reason_eos)


def semantic_positions(codes: Tensor, config: LmConfig) -> Prompt:
    """Lay out reconstruction codes ``[T, 8]``, markers included in the shift by the reason card.

    Raises:
        ValueError: wrong shape, or a code outside the semantic card.
    """
    _check_card(codes, config.semantic_card, "reconstruction")
    card = config.reason_card
    bos, eos = config.ids.semantic_bos + card, config.ids.semantic_eos + card
    return _between_markers(codes.to(torch.int64) + card, bos, eos)


def audio_prompt_positions(codes: Tensor, config: LmConfig) -> Prompt:
    """Lay out reconstruction codes ``[T, 8]`` as an audio prompt: its markers are joint ids.

    Raises:
        ValueError: wrong shape, or a code outside the semantic card.
    """
    _check_card(codes, config.semantic_card, "reconstruction")
    ids = config.ids
    shifted = codes.to(torch.int64) + config.reason_card
    return _between_markers(shifted, ids.audio_prompt_bos, ids.audio_prompt_eos)


def unconditional(prompt: Prompt, config: LmConfig) -> Prompt:
    """Make the prompt of the unconditional sequence of guidance: the same positions, all pads.

    Every text id becomes the text pad; every audio id becomes the pad of its card, the
    semantic one without the shift by the reason card, as in the published training.
    """
    ids = config.ids
    tokens = prompt.tokens.clone()
    tokens[prompt.kind == TEXT, TEXT_COLUMN] = ids.text_pad
    is_audio = prompt.kind == AUDIO
    audio = tokens[is_audio, :CODEBOOKS]  # [N, 8]
    pads = torch.where(audio < config.reason_card, ids.reason_pad, ids.semantic_pad)
    tokens[is_audio, :CODEBOOKS] = pads
    return Prompt(tokens, prompt.kind)


def pad_prompts(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor, Tensor]:
    """Stack prompts of different lengths, padding on the right.

    Returns:
        tokens ``[B, S, 9]`` int64, kind ``[B, S]`` uint8, length ``[B]`` int64.
    """
    length = torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int64)
    tokens = torch.nn.utils.rnn.pad_sequence(
        [prompt.tokens for prompt in prompts], batch_first=True
    )
    kind = torch.nn.utils.rnn.pad_sequence(
        [one.kind for one in prompts], batch_first=True, padding_value=PADDING
    )
    return tokens, kind, length


def parse_answer(
    frames: Tensor, config: LmConfig, answer: tuple[Stream, ...] = PAIR
) -> tuple[Codes, ...]:
    """Split generated audio frames into their streams, sound by sound.

    A reasoning stream runs to the first frame that is reason eos in all codebooks, a
    reconstruction stream to the first that is semantic eos in all codebooks (which also ends a
    reasoning stream, and the answer with it). The first frame of either is its bos and is
    dropped, whatever it holds. Streams that were never reached are empty.

    Args:
        frames: ``[F, 8]`` int64 joint ids in the order of generation.
        config: markers and cards.
        answer: the streams in their order.
    """
    frames = frames.cpu().to(torch.int64)
    sounds: list[Codes] = []
    for stream in answer:
        is_stop = (frames == config.ids.semantic_eos + config.reason_card).all(dim=1)
        end = stop = _first(is_stop)
        if stream == "reason":
            end = min(stop, _first((frames == config.ids.reason_eos).all(dim=1)))
            sounds.append(Codes(frames[1:end], frames[:0]))
            frames = frames[:0] if end == stop else frames[end + 1 :]
            continue
        recon = frames[1:end] - config.reason_card
        reason = sounds.pop().reason if answer[0] == "reason" else frames[:0]
        sounds.append(Codes(reason, recon))
        frames = frames[end + 1 :]
    return tuple(sounds)


def _first(flags: Tensor) -> int:
    """Find the first true flag of ``[F]``: its index, or F."""
    hits = flags.nonzero()
    return int(hits[0]) if len(hits) else len(flags)
