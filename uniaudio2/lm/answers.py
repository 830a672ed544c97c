"""Reads answers of text again, behind their prompts, for what they attended to and how probable
each of their ids was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.lm.model import UniAudioLM
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.grid import Prompt, pad_prompts, text_positions

Heads = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class ReadAnswer:
    """What one answer was read to be.

    Attributes:
        attention: ``[N, S]`` float32, mean of the heads: how far each of N ids, where it was
            predicted, attended to each of the S positions of the prompt.
        log_probabilities: ``[N]`` float32, of each id among all text ids.
    """

    attention: Tensor
    log_probabilities: Tensor


def upper_heads(lm: UniAudioLM) -> list[tuple[int, int]]:
    """Every head of the upper half of the backbone's layers, which serve where none were chosen."""
    stack = lm.config.backbone
    return [
        (layer, head)
        for layer in range(stack.layers // 2, stack.layers)
        for head in range(stack.heads)
    ]


class _Attention:
    """Sums the attention of some heads while a model runs.

    Args:
        heads: layer and head.
        rows: ``[B, N]`` int64, positions that attend.
    """

    def __init__(self, heads: Heads, rows: Tensor) -> None:
        self._heads: dict[int, list[int]] = {}
        for layer, head in heads:
            self._heads.setdefault(layer, []).append(head)
        self._count = len(heads)
        self._rows = rows
        self._sum: Tensor | None = None

    def look(self, layer: int, queries: Tensor, keys: Tensor) -> None:
        """Take a layer's queries ``[B, heads, T, head]`` and keys ``[B, groups, T, head]``."""
        chosen = self._heads.get(layer)
        if chosen is None:
            return
        share = queries.shape[1] // keys.shape[1]
        heads = to_device(torch.tensor(chosen), queries.device)
        batch = torch.arange(len(queries), device=queries.device)[:, None]
        asking = queries[:, heads].transpose(1, 2)[batch, self._rows]  # [B, N, chosen, head]
        asked = keys[:, heads // share]  # [B, chosen, T, head]
        scores = torch.einsum("bnhd,bhtd->bhnt", asking.float(), asked.float())
        scores = scores * queries.shape[-1] ** -0.5
        places = torch.arange(scores.shape[-1], device=scores.device)
        is_hidden = places > self._rows[:, None, :, None]  # [B, 1, N, T]
        own = scores.masked_fill(is_hidden, -torch.inf).softmax(-1).sum(1)  # [B, N, T]
        self._sum = own if self._sum is None else self._sum + own

    @property
    def mean(self) -> Tensor:
        """``[B, N, T]`` float32."""
        if self._sum is None:
            raise ValueError("no head was asked for; name at least one")
        return self._sum / self._count


@torch.inference_mode()
def read_answers(
    lm: UniAudioLM, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], heads: Heads
) -> list[ReadAnswer]:
    """Read answers under teacher forcing, all of them at once.

    Args:
        lm: the model, on its device.
        prompts: what was answered.
        answers: text ids of each answer, at least one.
        heads: layer and head of the backbone whose attention is told.
    """
    whole = [
        Prompt.join([prompt, text_positions(answer[:-1], lm.config)])
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    tokens, kind, _ = pad_prompts(whole)
    longest = max(map(len, answers))
    # the position before an id predicts it; rows of padding repeat the last
    steps = torch.arange(longest)
    last = torch.tensor([[len(answer) - 1] for answer in answers])
    first = torch.tensor([[len(prompt) - 1] for prompt in prompts])
    rows = (first + torch.minimum(steps, last)).to(lm.device)  # [B, N]
    attention = _Attention(heads, rows)
    hidden = lm.hidden(tokens.to(lm.device), kind.to(lm.device), look=attention.look)
    own = hidden[torch.arange(len(rows), device=lm.device)[:, None], rows]  # [B, N, D]
    scores = lm.text_head(own).float().log_softmax(-1)  # [B, N, text_vocab]
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(answer, dtype=torch.int64) for answer in answers], batch_first=True
    )
    chosen = scores.gather(-1, ids.to(lm.device)[..., None])[..., 0].cpu()  # [B, N]
    mean = attention.mean.cpu()
    return [
        ReadAnswer(mean[place, : len(answer), : len(prompt)], chosen[place, : len(answer)])
        for place, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
