"""Measures full-size shapes with random weights on one GPU, each figure with its bound.

Without a GPU the same code runs on narrow shapes, which shows that it works and nothing else.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.encode import bench_codec
from benchmarks.flow import bench_decoder
from benchmarks.lm import bench_lm, seconds_per_step, step_bytes
from benchmarks.machine import copy_bandwidth, flops, gemm_rate, seconds
from benchmarks.pipeline import timed_run
from pipelines import JobConfig
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.config import (
    RECON_RATE_HZ,
    CodecConfig,
    FlowConfig,
    LmConfig,
    ModelConfig,
    ScalarConfig,
)
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.runtime.cuda_graphs import graph_capture_for
from uniaudio2.runtime.memory_budget import calibrate
from uniaudio2.tokens.codes import Codes

_FRAMES_PER_SECOND = 17.5  # 5 reasoning and 12.5 reconstruction frames
_SLOTS = (1, 32, 128, 256)
_SEGMENT_S, _ROW_S = 30.0, 5.0
_LONGEST_BATCH = 64
_STEPS = 48  # with the prompt and the first steps, few enough for one KV length


@contextmanager
def _built_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """New parameters are made on a device in some precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def make_lm(device: str) -> UniAudioLM:
    """The language model at full size in bfloat16; on the CPU, a narrow one."""
    if device != "cuda":
        return bench_lm(small=True)
    with _built_on(device, torch.bfloat16):
        return UniAudioLM(LmConfig()).eval()


def make_encoder(device: str) -> CodecEncoder:
    """The codec's encoder at full size; on the CPU, a narrow one."""
    if device != "cuda":
        return bench_codec()
    with _built_on(device, torch.float32):
        return CodecEncoder(CodecConfig())


def make_decoder(device: str) -> FlowDecoder:
    """The flow decoder at full size; on the CPU, a narrow one."""
    if device != "cuda":
        return bench_decoder()
    with _built_on(device, torch.float32):
        return FlowDecoder(FlowConfig(), CodecConfig(), ScalarConfig()).eval()


def _language_model(device: str, slots: tuple[int, ...], steps: int) -> dict[str, float]:
    lm = make_lm(device)
    size = lm.audio_head.element_size()
    bound_s = step_bytes(lm) / 4 * size / copy_bandwidth(device)
    print(f"language model: weights alone {1e3 * bound_s:.2f} ms a step")
    graph_capture = graph_capture_for(lm.device)
    ways = {"plain": None, "captured": graph_capture} if graph_capture else {"plain": None}
    best: dict[str, float] = {}
    for way, count in product(ways, slots):
        spent_s = seconds_per_step(lm, count, steps, "audio", ways[way])
        audio = count / spent_s / _FRAMES_PER_SECOND
        best[way] = max(best.get(way, 0.0), audio)
        print(
            f"  {way:<8} {count:>4} slots  {1e3 * spent_s:>7.2f} ms a step  "
            f"{audio:>8.1f} s of audio a s"
        )
    figures = {"gpu.lm_audio_s_per_s": max(best.values())}
    if graph_capture:
        figures["gpu.lm_recorded_ratio"] = best["captured"] / best["plain"]
    return figures


def _stage(name: str, work: Callable[[int], Any], unit_s: float, device: str) -> float:
    """Best rate of a stage over batches of growing size; returns seconds of audio a second."""
    batch = calibrate(work, _LONGEST_BATCH)
    spent_s = seconds(lambda: work(batch))
    bound_s = flops(lambda: work(1)) * batch / gemm_rate(torch.float32, device, 4096)
    rate = batch * unit_s / spent_s
    print(
        f"{name}: {batch} at once  {rate:.1f} x real time  (bound {batch * unit_s / bound_s:.1f})"
    )
    return rate


def _encoder(device: str) -> dict[str, float]:
    encoder = make_encoder(device)
    clip = 0.1 * torch.randn(int(_SEGMENT_S * encoder.config.sample_rate) - 1)
    rate = _stage("encoder", lambda n: encoder.encode([clip] * n, n), _SEGMENT_S, device)
    return {"gpu.encode_realtime_factor": rate}


def _decoder(device: str) -> dict[str, float]:
    decoder = make_decoder(device)
    codes = torch.zeros(int(_ROW_S * RECON_RATE_HZ), 8, dtype=torch.int64)
    row = Codes(codes[:0], codes)
    rate = _stage(
        "decoder",
        lambda n: decoder.decode([row] * n, range(n), windows="fitted", windows_per_batch=n),
        _ROW_S,
        device,
    )
    return {"gpu.decode_realtime_factor": rate}


def _model_folder(folder: Path, device: str) -> str:
    """A model whose weights its actors draw from a seed; on the CPU, a narrow one."""
    full = ModelConfig(name="full-size", trained=False, seed=0)
    if device == "cpu":
        narrow = load_config(model_folder("tiny"))
        full = narrow.model_copy(update={"name": "narrow"})
    shutil.copytree(model_folder("tiny") / "tokenizer", folder / "tokenizer")
    (folder / "config.json").write_text(full.model_dump_json())
    return str(folder)


def _storage_to_storage(folder: Path, model: str, rows: int, task: str) -> float:
    """Seconds of audio a second of a whole run, after start-up."""
    texts = folder / f"{task}.jsonl"
    source = Path(__file__).parents[1] / "pipelines/examples/audio/speech-1.wav"
    texts.write_text(
        "".join(
            json.dumps({"id": str(row), "text": "seven on happy", "audio": str(source)}) + "\n"
            for row in range(rows)
        )
    )
    job = JobConfig(
        task=task, input=str(texts), output=str(folder / task), model=model, unit_rows=8,
        encode={"batch": "auto"}, decode={"batch": "auto"}, flow={"windows": "fitted"},
        sampling={"max_frames": 88},
    )  # fmt: skip
    seen = timed_run(job)
    return seen.audio_s / seen.wall_s


def _runs(device: str, rows: int) -> dict[str, float]:
    """Whole runs, the model's weights drawn by its actors."""
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = _model_folder(folder / "model", device)
        for task in ("tokenize", "tts"):
            rate = _storage_to_storage(folder, model, rows, task)
            print(f"{task}, storage to storage: {rate:.1f} s of audio a s")
            figures[f"gpu.{task}_audio_s_per_s"] = rate
    return figures


PARTS = ("lm", "encoder", "decoder", "runs")


@torch.no_grad()
def run(quick: bool, parts: Sequence[str] = PARTS) -> dict[str, float]:
    """Measure and print; returns the figures by name.

    Args:
        quick: fewer slots, steps and rows.
        parts: of `PARTS`.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(torch.cuda.get_device_name() if device == "cuda" else "no GPU: narrow shapes on the CPU")
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "lm": lambda: _language_model(
            device, _SLOTS[:2] if quick else _SLOTS, 8 if quick else _STEPS
        ),
        "encoder": lambda: _encoder(device),
        "decoder": lambda: _decoder(device),
        "runs": lambda: _runs(device, 16 if quick else 512),
    }
    figures: dict[str, float] = {}
    for part in parts:
        figures |= ways[part]()
    return figures
