"""Files per second to mono 24 kHz float32, beside what others read audio with.

60 clips of 1 to 15 s a format, out of the page cache, one thread, warm. The readers take turns;
a figure is the median of three passes and counts the processor's seconds, of all threads, so that
what else the machine does stays out of it.

The others' libraries are no dependencies of this project: `pip install lhotse av
torchcodec==0.11` brings them, and a row without figures says why. (The wheel of torchcodec wants
FFmpeg's shared libraries and a CUDA build of torch.)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np
import soundfile

from benchmarks.load_readers import RATE, READERS

HERE = Path(__file__).parents[1]
CLIPS, _QUICK_CLIPS = 60, 12
SHORTEST_S, LONGEST_S = 1.0, 15.0
_PASSES = 3
# name, suffix, format and subtype of libsndfile, rate, channels
FORMATS = (
    ("wav_16k", ".wav", "WAV", "PCM_16", 16_000, 1),
    ("wav_24k", ".wav", "WAV", "PCM_16", 24_000, 1),
    ("flac_44k_stereo", ".flac", "FLAC", "PCM_16", 44_100, 2),
    ("mp3_44k_stereo", ".mp3", "MP3", "MPEG_LAYER_III", 44_100, 2),
    ("opus_48k", ".opus", "OGG", "OPUS", 48_000, 1),
)
_LATE_S = 0.2  # codecs may add so much to a clip
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Process:
    """A reader in a process of its own; see `load_readers`."""

    def __init__(self, reader: str, checkout: Path = HERE) -> None:
        path = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(  # noqa: S603 - this project's own program
            [sys.executable, str(Path(__file__).with_name("load_readers.py")), reader],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **_THREADS, "PYTHONPATH": path}, cwd=checkout,
        )  # fmt: skip
        self._questions = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)
        said = self._said()
        self.fault = None if said == "ready" else said or "it ended"

    def read(self, folder: Path) -> tuple[float, int]:
        """Seconds and samples of one pass over a folder."""
        print(folder, file=self._questions, flush=True)
        seconds, samples = self._said().split()
        return float(seconds), int(samples)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _said(self) -> str:
        return self._answers.readline().strip()


def _voice(duration_s: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """Gliding harmonics in syllables over a little noise, ``[N, C]``; codecs find work in it."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * rate)) / rate
    pitch_hz = 140 + 40 * np.sin(2 * np.pi * 0.7 * time_s + seed)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate
    voice = sum(np.sin(number * phase) / number for number in range(1, 25))
    loud = np.clip(np.sin(2 * np.pi * 3.1 * time_s), 0, 1)
    sides = np.linspace(1.0, 0.7, channels)  # [C]
    noise = generator.standard_normal((len(time_s), channels))
    return 0.15 * (loud * voice)[:, None] * sides + 0.01 * noise


def write_clips(folder: Path, clips: int) -> dict[str, float]:
    """A folder of clips for every format; returns their seconds by format."""
    lengths_s = np.random.default_rng(0).uniform(SHORTEST_S, LONGEST_S, clips)
    whole_s = {}
    for name, suffix, kind, subtype, rate, channels in FORMATS:
        (folder / name).mkdir()
        for number, length_s in enumerate(lengths_s):
            wave = _voice(length_s, rate, channels, number)
            path = folder / name / f"{number:03d}{suffix}"
            soundfile.write(path, wave, rate, format=kind, subtype=subtype)
        whole_s[name] = float(lengths_s.sum())
    return whole_s


def _files_per_s(
    readers: Mapping[str, Process], folder: Path, clips: int, whole_s: float
) -> dict[str, float]:
    """Files per second of one format by reader; the first pass warms up and is dropped."""
    spent: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(_PASSES + 1):
        for name, reader in readers.items():
            seconds, samples = reader.read(folder)
            spent[name].append(seconds)
            if abs(samples / RATE - whole_s) > _LATE_S * clips:
                raise RuntimeError(f"{name} gave {samples / RATE:.1f} s of {whole_s:.1f} s")
    return {name: clips / statistics.median(values[1:]) for name, values in spent.items()}


def _print_table(table: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> None:
    peers = [name for name in names if name in READERS and name != "ours"]
    print(f"{'files/s':>16}  " + "  ".join(f"{name:>14}" for name in names) + "  ours / best")
    for kind, row in table.items():
        best = max(row[name] for name in peers)
        cells = "  ".join(f"{row[name]:>14.0f}" for name in names)
        print(f"{kind:>16}  {cells}  {row['ours'] / best:>11.2f}")


def run(quick: bool, against: Sequence[Path] = ()) -> dict[str, float]:
    """Measure and print; returns files per second and ratios by name.

    Args:
        quick: fewer clips.
        against: another checkout of this project, read with in turns.
    """
    clips = _QUICK_CLIPS if quick else CLIPS
    started = {name: Process(name) for name in READERS}
    started |= {"before": Process("ours", against[0].resolve())} if against else {}
    for name, process in started.items():
        if process.fault:
            print(f"{name}: not measured ({process.fault})")
    readers = {name: process for name, process in started.items() if not process.fault}
    with tempfile.TemporaryDirectory() as folder:
        lengths = write_clips(Path(folder), clips)
        table = {
            kind: _files_per_s(readers, Path(folder, kind), clips, whole_s)
            for kind, whole_s in lengths.items()
        }
    for process in started.values():
        process.close()
    print(
        f"one thread, processor time; {clips} clips of {SHORTEST_S:g} to {LONGEST_S:g} s a format"
    )
    _print_table(table, list(readers))
    peers = readers.keys() - {"ours", "before"}
    ratios = [row["ours"] / max(row[name] for name in peers) for row in table.values()]
    figures = {f"load.{kind}_files_s": row["ours"] for kind, row in table.items()}
    figures |= {"load.ratio_worst": min(ratios), "load.ratio_mean": statistics.mean(ratios)}
    if against:
        gains = [row["ours"] / row["before"] for row in table.values()]
        print("ours / before: " + "  ".join(f"{gain:.2f}" for gain in gains))
        figures["load.gain_mean"] = statistics.mean(gains)
    print(f"ours / best: worst {min(ratios):.2f}, mean {statistics.mean(ratios):.2f}")
    return figures
