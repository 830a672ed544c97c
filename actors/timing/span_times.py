"""When the words of a row's transcript are spoken, from the times in its spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from actors.inputs.prompt_spans import PromptSpan
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.lm.answers import ReadAnswer
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.timing.levels import Packed, level_count
from uniaudio2.timing.times import TimedWord, frames_of, segments_of, time_words

_T = TypeVar("_T")
Run = Callable[[Callable[[], list[ReadAnswer]]], list[ReadAnswer]]
_DEVICE_POSITIONS = 8192  # read at once, padding included; on a CPU one answer is read at a time
_DECIMALS = 4  # of a confidence


@dataclass(frozen=True)
class HeardSpan:
    """A span with its answer.

    Attributes:
        span: what was heard.
        request: what was asked.
        output: what was answered.
        text: what that says.
        levels: of what was heard, where they are known.
    """

    span: PromptSpan
    request: Request
    output: RequestOutput
    text: str
    levels: Packed | None


@dataclass
class RowTimes:
    """Values of the columns `words` and `segments`."""

    words: list[dict[str, Any]] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)


def span_levels(levels: Packed | None, spans: Sequence[PromptSpan]) -> list[Packed | None]:
    """The levels of each span of a row, which lie one after the other; of none where none of it is
    listened to."""
    if levels is None or not spans:
        return [None] * len(spans)
    counts = [level_count(round((one.end_s - one.start_s) * SAMPLE_RATE)) for one in spans]
    if sum(counts) != len(levels):
        raise RuntimeError(f"{len(levels)} levels are of other spans, which have {sum(counts)}")
    return list(np.split(levels, np.cumsum(counts)[:-1]))


def time_rows(
    model: UniAudio2, task: TaskSpec, rows: dict[int, list[HeardSpan]], run: Run
) -> dict[int, RowTimes]:
    """Time the transcripts of rows.

    Args:
        model: its language model wrote them.
        task: laid the prompts out.
        rows: the spans of each, in order.
        run: does work on the model's device.
    """
    answered = [one for own in rows.values() for one in own if one.output.text_ids]
    read: dict[int, ReadAnswer] = {}
    for group in _groups(answered, 0 if model.device.type == "cpu" else _DEVICE_POSITIONS):
        read |= zip(map(id, group), run(partial(_read, model, group)), strict=True)
    return {
        row: _joined([(one, _timed(model, task, one, read.get(id(one)))) for one in own])
        for row, own in rows.items()
    }


def _read(model: UniAudio2, group: Sequence[HeardSpan]) -> list[ReadAnswer]:
    requests = [one.request for one in group]
    return model.read_answers(requests, [one.output.text_ids for one in group])


def _groups(spans: Sequence[HeardSpan], positions: int) -> Iterator[list[HeardSpan]]:
    """Spans that are read at once: in order, one at least."""
    group: list[HeardSpan] = []
    longest = 0
    for one in spans:
        length = len(one.request.prompt) + len(one.output.text_ids)
        if group and max(longest, length) * (len(group) + 1) > positions:
            yield group
            group, longest = [], 0
        group.append(one)
        longest = max(longest, length)
    if group:
        yield group


def _timed(
    model: UniAudio2, task: TaskSpec, one: HeardSpan, read: ReadAnswer | None
) -> list[TimedWord]:
    if read is None:
        return []
    kind = next(item.kind for item in reversed(task.prompt) if item.column == AUDIO)
    has_reason, has_recon = kind in ("audio", "reason"), kind != "reason"
    frames = frames_of(one.request.prompt.kind, one.span.codes, has_reason, has_recon)
    ids = one.output.text_ids
    lead_s = model.config.alignment.lead_s
    return time_words(one.text, ids, model.text_of, read, frames, one.levels, lead_s)


def _joined(spans: Sequence[tuple[HeardSpan, list[TimedWord]]]) -> RowTimes:
    """Join the times of spans to those of their row, to whole milliseconds: they never run
    backwards, and no word lies outside of its span."""
    whole, at_ms = RowTimes(), 0
    for one, timed in spans:
        last_ms = int(one.span.end_s * 1000 + 1e-6)
        times: list[dict[str, Any]] = []
        for number, word in enumerate(timed):
            left = len(timed) - number  # each of these has a millisecond at least, if there is one
            start_ms = round((one.span.start_s + word.start_s) * 1000)
            start_ms = max(min(start_ms, last_ms - left), at_ms)
            end_ms = round((one.span.start_s + word.end_s) * 1000)
            end_ms = max(min(max(end_ms, start_ms + 1), last_ms - left + 1), start_ms)
            times.append({"start_s": start_ms / 1000, "end_s": end_ms / 1000})
            at_ms = end_ms
        whole.words += [
            {
                **own,
                "word": one.text[word.first : word.last],
                "confidence": round(word.confidence, _DECIMALS),
            }
            for own, word in zip(times, timed, strict=True)
        ]
        whole.segments += [
            {
                "start_s": times[first]["start_s"],
                "end_s": times[stop - 1]["end_s"],
                "text": one.text[timed[first].first : timed[stop - 1].last],
            }
            for first, stop in segments_of(timed, one.text)
        ]
    return whole
