"""What a rule makes of a corpus of nano's speech, and what it costs: word errors by a recogniser of
another kind, first draws beside the best of four.

The recogniser is the one that evaluates nano: mel bands and convolutions, trained here on speech
of espeak-ng alone, never on what a codec or nano made. The rule goes by what nano hears itself, so
the two agree only where words are there. Texts are held out: nano never learnt from them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jiwer
import torch

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.cli.demo import read_results
from pipelines.run_state.commit_log import CommitLog
from uniaudio2.audio.files import decode_audio
from uniaudio2.training.data.corpus import Corpus, draw_text, make_clip, make_corpus
from uniaudio2.training.trainers.loop import Schedule
from uniaudio2.training.trainers.recogniser import Recogniser, train_recogniser

ROWS, QUICK_ROWS = 500, 64
ROUNDS, QUICK_ROUNDS = 2, 1
RULE = {"rule": "wer = 0", "attempts": 4, "best": "mean_logprob - 10 * wer"}
CLIPS, QUICK_CLIPS = 8000, 400
STEPS, QUICK_STEPS = 3000, 100
_HELD_OUT = 200  # clips of speech on which the recogniser's own errors are counted
_GOALS = {"errors_ratio": 0.4, "wer": 0.03, "cost_ratio": 1.0, "busy_share": 0.9}


@dataclass(frozen=True)
class Use:
    """Where a run's time went.

    Attributes:
        wall_s: from the first call of a stage to the end of the last.
        busy_s: of all calls.
        score_s: of those that score.
        workers: that worked.
    """

    wall_s: float
    busy_s: float
    score_s: float
    workers: int

    @property
    def share(self) -> float:
        """Of the workers' time that was work."""
        return self.busy_s / (self.wall_s * self.workers)


def run(quick: bool, recogniser: Path | None = None) -> Mapping[str, float]:
    """Measure and print; returns figures by name.

    Args:
        quick: fewer rows, and a recogniser that hardly hears.
        recogniser: folder in which it is kept from bench to bench.
    """
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng teaches the recogniser; install it (apt install espeak-ng)")
    with _folder(recogniser) as kept, tempfile.TemporaryDirectory() as scratch:
        hears = _recogniser(kept, quick)
        source = Path(scratch) / "texts.jsonl"
        drawn = random.Random(11)  # noqa: S311 - which texts are said
        count = QUICK_ROWS if quick else ROWS
        texts = [draw_text(drawn, "words", unseen=True) for _ in range(count)]
        rows = ({"id": f"r{n}", "text": text} for n, text in enumerate(texts))
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{len(texts)} texts, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors")
        figures = {"verify.recogniser_wer": _own_errors(hears)}
        found: dict[str, list[Use]] = {"plain": [], "rule": []}
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            for name, asked in (("plain", {}), ("rule", RULE)):
                output = Path(scratch) / f"{name}{number}"
                _run(source, output, asked)
                found[name].append(_use(output))
        plain, ruled = (Path(scratch) / f"{name}0" for name in ("plain", "rule"))
        figures |= _errors(hears, plain, ruled)
        figures |= _costs(found, ruled)
    for name, value in figures.items():
        goal = _GOALS.get(name.removeprefix("verify."))
        print(f"  {name:<28}{value:9.4f}" + (f"   goal {goal:g}" if goal is not None else ""))
    return figures


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def _recogniser(folder: Path, quick: bool) -> Recogniser:
    """The recogniser, trained where the folder has none."""
    begun = time.monotonic()
    clips, steps = (QUICK_CLIPS, QUICK_STEPS) if quick else (CLIPS, STEPS)
    make_corpus(folder / "corpus", {"train": clips}, 1, os.cpu_count() or 1)
    schedule = Schedule(steps=steps, lr=2e-3, warmup=min(100, steps // 4))
    made = train_recogniser(folder, Corpus(folder / "corpus"), schedule, 1, "cpu").eval()
    print(f"recogniser: {clips} clips, {steps} steps, {time.monotonic() - begun:.0f} s", flush=True)
    return made


def _own_errors(hears: Recogniser) -> float:
    """Its word errors on speech of voices and texts that it never heard."""
    clips = [make_clip("unseen_variants", 9, number) for number in range(_HELD_OUT)]
    heard = [hears.transcribe(wave) for wave, _ in clips]
    return float(jiwer.wer([facts["text"] for _, facts in clips], heard))


def _run(source: Path, output: Path, asked: Mapping[str, object]) -> None:
    """500 rows by as many processes as this machine has processors for."""
    run_job(
        JobConfig(
            task="tts", input=str(source), output=str(output), executor="processes",
            verify=dict(asked),
        )
    )  # fmt: skip


def _use(output: Path) -> Use:
    calls = [call for one in CommitLog(Storage(str(output))).each_commit() for call in one.stages]
    begin = min(call.begin for call in calls)
    end = max(call.begin + call.busy_s for call in calls)
    return Use(
        end - begin,
        sum(call.busy_s for call in calls),
        sum(call.busy_s for call in calls if call.stage == "score"),
        len({call.worker for call in calls}),
    )


def _errors(hears: Recogniser, plain: Path, ruled: Path) -> dict[str, float]:
    """Word errors of first draws, of the draws that were kept, and of those that pass alone."""
    first, kept = _heard(hears, plain), _heard(hears, ruled)
    passing = {name for name, row in kept.items() if row[2]}
    some = {
        "verify.first_wer": [row[:2] for row in first.values()],
        "verify.wer": [row[:2] for row in kept.values()],
        "verify.passing_wer": [kept[name][:2] for name in sorted(passing)],
    }
    figures = {
        name: float(jiwer.wer([wanted for wanted, _ in own], [heard for _, heard in own]))
        for name, own in some.items()
    }
    figures["verify.errors_ratio"] = figures["verify.wer"] / max(figures["verify.first_wer"], 1e-9)
    figures["verify.pass_rate"] = len(passing) / len(kept)
    return figures


def _heard(hears: Recogniser, output: Path) -> dict[str, tuple[str, str, bool]]:
    """Text, what the recogniser hears, and whether the rule holds, by id."""
    found = {}
    storage = Storage(str(output))
    for row in read_results(str(output)):
        with torch.no_grad():
            heard = hears.transcribe(decode_audio(storage.read(row["audio_path"])))
        found[row["id"]] = (row["text"], heard, bool(row.get("verified")))
    return found


def _costs(found: Mapping[str, list[Use]], ruled: Path) -> dict[str, float]:
    """The better of each kind of run, beside what scoring and the further draws take."""
    plain, rule = (min(found[name], key=lambda use: use.wall_s) for name in ("plain", "rule"))
    results = read_results(str(ruled))
    extra = sum(row["attempts"] - 1 for row in results)
    # long texts fail most; the further draws are as quick as the first ones, word by word
    words = sum(len(row["text"].split()) for row in results)
    again = sum((row["attempts"] - 1) * len(row["text"].split()) for row in results)
    draws_s = again * plain.wall_s / words
    score_s = rule.score_s / rule.workers
    return {
        "verify.plain_s": plain.wall_s,
        "verify.wall_s": rule.wall_s,
        "verify.score_s": score_s,
        "verify.extra_draws": float(extra),
        "verify.extra_draws_s": draws_s,
        "verify.cost_ratio": (rule.wall_s - plain.wall_s) / (score_s + draws_s),
        "verify.busy_share": rule.share,
    }
