"""Times of words against those that are known: how far off starts and ends are, and what they cost.

The speech is espeak-ng's, in voices, texts and speeds that nano was never trained on; the words
that nano hears rightly are compared, each with its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch
from rapidfuzz.distance import Levenshtein

from actors.batch.table import start_table
from actors.inputs.audio import LoadedAudio
from actors.inputs.audio_columns import write_loaded
from actors.stages.encode import Encoder
from actors.stages.generate import Generator
from benchmarks.timed_speech import RATE_HZ, TimedClip, clips, joined, noisy
from pipelines.config.job import JobConfig
from pipelines.jobs.run import run_job
from uniaudio2 import UniAudio2
from uniaudio2.lm.answers import Heads, read_answers, upper_heads
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import get_task
from uniaudio2.timing.levels import packed_levels
from uniaudio2.timing.times import frames_of, time_words

CLIPS, QUICK_CLIPS = 200, 20
_UNSEEN = ("unseen_variants", "unseen_voices")
_SEED, _CHOOSING_SEED = 20_261_128, 7_041
_LONG_CLIPS = 150
_ROUNDS = 5
_CHOOSING_CLIPS, _SHOWN, _PAIRED = 40, 8, 5
Errors = np.ndarray[Any, np.dtype[np.float64]]
Words = Sequence[Mapping[str, Any]]


def run(quick: bool) -> Mapping[str, float]:
    """Measure and print; returns milliseconds, shares and ratios by name.

    Args:
        quick: fewer clips, and no look at single heads.
    """
    count = QUICK_CLIPS if quick else CLIPS
    spoken = {kind: clips(kind, count, _UNSEEN, _SEED) for kind in ("connected", "apart")}
    sets = {**spoken, "noise 20 dB below": _noisy(spoken["connected"], 20.0)}
    sets["noise 10 dB below"] = _noisy(spoken["connected"], 10.0)
    sets["long recording"] = [joined(spoken["connected"][:_LONG_CLIPS], _SEED)]
    figures: dict[str, float] = {}
    print(f"{'':<24}{'words':>7}{'right':>7}{'median':>9}{'95 %':>8}{'worst':>8} ms,  starts, ends")
    whole = [_told(name, some, _timed(some), figures) for name, some in sets.items()]
    _told_errors("all without noise", np.concatenate([*whole[:2], whole[-1]]), figures)
    without = _timed(spoken["connected"], levels=False)
    _told("connected, codes alone", spoken["connected"], without, figures)
    _cost(spoken["connected"], figures)
    if not quick:
        _heads(figures)
    return figures


def _noisy(some: Sequence[TimedClip], snr_db: float) -> list[TimedClip]:
    return [noisy(clip, snr_db, seed) for seed, clip in enumerate(some)]


# ---- what is heard -----------------------------------------------------------------------------


def _timed(some: Sequence[TimedClip], levels: bool = True) -> list[Words]:
    """The words of a run over clips: from their audio, or from their codes alone."""
    with TemporaryDirectory() as folder:
        heard = Path(folder) / "heard"
        heard.mkdir()
        for number, clip in enumerate(some):
            soundfile.write(heard / f"{number:05d}.wav", clip.wave, RATE_HZ)
        source = str(heard)
        if not levels:
            source = f"{folder}/tokens"
            _run("tokenize", str(heard), source)
            source += "/data"
        _run("asr", source, f"{folder}/out", asr={"times": "word", "no_speech": "keep"})
        rows = pq.read_table(f"{folder}/out/data", columns=["id", "words"]).to_pylist()
    return [row["words"] for row in sorted(rows, key=lambda row: row["id"])]


def _run(task: str, source: str, output: str, **settings: object) -> None:
    facts = {"task": task, "input": source, "output": output, "executor": "inline", **settings}
    run_job(JobConfig.model_validate(facts))


def errors_of(clip: TimedClip, words: Words) -> Errors:
    """Seconds by which starts and ends of words that were heard rightly are late, ``[N, 2]``."""
    heard = [word["word"] for word in words]
    found = []
    for kind, first, last, other, _ in Levenshtein.opcodes(clip.words, heard):
        for step in range(last - first if kind == "equal" else 0):
            start, end = clip.times[first + step]
            word = words[other + step]
            found.append((word["start_s"] - start, word["end_s"] - end))
    return np.array(found).reshape(-1, 2)


def _told(
    name: str, some: Sequence[TimedClip], rows: Sequence[Words], figures: dict[str, float]
) -> Errors:
    errors = np.concatenate([errors_of(*pair) for pair in zip(some, rows, strict=True)])
    spoken = sum(len(clip.words) for clip in some)
    _told_errors(name, errors, figures, len(errors) / spoken)
    return errors


def _told_errors(
    name: str, errors: Errors, figures: dict[str, float], right: float | None = None
) -> None:
    off_ms = 1000 * np.abs(errors)
    middle, most, worst = np.median(off_ms), np.percentile(off_ms, 95), off_ms.max()
    ends = ", ".join(
        f"{np.median(off_ms[:, side]):.0f}/{np.percentile(off_ms[:, side], 95):.0f}"
        for side in (0, 1)
    )
    share = "" if right is None else f"{right:7.2f}"
    print(f"{name:<24}{len(errors):7}{share:>7}{middle:9.0f}{most:8.0f}{worst:8.0f}      {ends}",
          flush=True)  # fmt: skip
    key = name.replace(",", "").replace(" ", "_")
    figures |= {f"times.{key}_median_ms": float(middle), f"times.{key}_p95_ms": float(most)}


# ---- what it costs -----------------------------------------------------------------------------


def _cost(some: Sequence[TimedClip], figures: dict[str, float]) -> None:
    """Seconds of the stages that times need, against the same without times, round by round."""
    table = _loaded(some)
    seconds: dict[tuple[str, str], list[float]] = {}
    stages = {times: _stages(times) for times in ("none", "word")}
    for _ in range(_ROUNDS):
        for times, (encode, generate) in stages.items():
            begun = time.perf_counter()
            encoded = encode(table)
            middle = time.perf_counter()
            generate(encoded)
            seconds.setdefault(("encode", times), []).append(middle - begun)
            seconds.setdefault(("generate", times), []).append(time.perf_counter() - middle)
    for stage in ("encode", "generate"):
        plain, timed = (statistics.median(seconds[stage, times]) for times in stages)
        print(f"{stage}: {plain:.2f} s, with times of words {timed:.2f} s")
        figures[f"times.{stage}_ratio"] = timed / plain
    plain, timed = (
        sum(statistics.median(seconds[stage, times]) for stage in ("encode", "generate"))
        for times in stages
    )
    figures["times.cost_ratio"] = timed / plain
    print(f"both together: {timed / plain:.2f} times as long")


def _stages(times: str) -> tuple[Encoder, Generator]:
    options = {"times": times, "no_speech": "keep"}
    job = JobConfig.model_validate({"task": "asr", "input": "x", "output": "x", "asr": options})
    encoder = Encoder("nano", levels=times != "none")
    sampling = job.sampling.for_task(job.spec, encoder.model.config)
    return encoder, Generator("nano", job.spec, sampling, seed=0)


def _loaded(some: Sequence[TimedClip]) -> pa.Table:
    """The clips as the encoder gets them."""
    inputs = pa.array([{"audio": ""}] * len(some))
    table = start_table([str(number) for number in range(len(some))], inputs, 0)
    waves = [torch.from_numpy(clip.wave) for clip in some]
    return write_loaded(table, {row: LoadedAudio(len(w), w) for row, w in enumerate(waves)})


# ---- which heads tell them ---------------------------------------------------------------------


def _heads(figures: dict[str, float]) -> None:
    """Measure single heads, the best pairs of them, and the mean of the upper half, in voices that
    nano was trained on but with other seeds."""
    model = UniAudio2.load("nano")
    some = [
        clip
        for kind in ("connected", "apart")
        for clip in clips(kind, _CHOOSING_CLIPS, ("train",), _CHOOSING_SEED)
    ]
    read = _Read(model, some)
    stack = model.config.lm.backbone
    every = [(layer, head) for layer in range(stack.layers) for head in range(stack.heads)]
    single = sorted((read.mean_error_s([one]), one) for one in every)
    for error_s, head in single[:_SHOWN]:
        print(f"head {head}: mean error {1000 * error_s:.1f} ms")
    few = [head for _, head in single[:_PAIRED]]
    choices = [[one] for one in few] + [[*pair] for pair in combinations(few, 2)]
    best_s, chosen = min((read.mean_error_s(one), sorted(one)) for one in choices)
    upper_s = read.mean_error_s(upper_heads(read.lm))
    print(f"best one or two: {chosen}, {1000 * best_s:.1f} ms; "
          f"all of the upper half: {1000 * upper_s:.1f} ms")  # fmt: skip
    figures |= {"times.best_heads_ms": 1000 * best_s, "times.upper_heads_ms": 1000 * upper_s}


class _Read:
    """Clips with what nano heard in them, to be timed by one choice of heads after the other."""

    def __init__(self, model: UniAudio2, some: Sequence[TimedClip]) -> None:
        self.model, self.some = model, some
        self.lm = model.language_model
        self.task = get_task("asr")
        sampling = Sampling.of_model(model.config, self.task)
        waves = [torch.from_numpy(clip.wave) for clip in some]
        self.levels = [packed_levels(wave) for wave in waves]
        self.codes = model.encode(waves)
        self.requests = [
            model.request(self.task, {"audio": codes}, self.task.instruction, seed, sampling)
            for seed, codes in enumerate(self.codes)
        ]
        self.outputs = model.generate(self.requests, sampling, 16)

    def mean_error_s(self, heads: Heads) -> float:
        """Mean distance of starts and ends from the known ones."""
        found = [self._errors(number, heads) for number in range(len(self.some))]
        return float(np.abs(np.concatenate(found)).mean())

    def _errors(self, number: int, heads: Heads) -> Errors:
        ids, prompt = self.outputs[number].text_ids, self.requests[number].prompt
        (read,) = read_answers(self.lm, [prompt], [ids], heads)
        text = self.model.text_of(ids)
        frames = frames_of(prompt.kind, self.codes[number], True, True)
        lead_s = self.model.config.alignment.lead_s
        timed = time_words(text, ids, self.model.text_of, read, frames, self.levels[number], lead_s)
        words = [
            {"word": text[one.first : one.last], "start_s": one.start_s, "end_s": one.end_s}
            for one in timed
        ]
        return errors_of(self.some[number], words)
