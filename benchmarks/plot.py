"""Draws the latest figures of ``results.jsonl`` against their goals, ``results.svg``."""

from __future__ import annotations

import json

import matplotlib

from benchmarks.record import RESULTS

matplotlib.use("svg")
from matplotlib import pyplot

GOALS = {
    "lm.frames_ratio_32_vs_1": 8.0,
    "encode.ratio_equal_tokens": 2.0,
    "encode.ratio_tight": 6.0,
    "flow.ratio_32_vs_1": 4.0,
    "nano.asr_realtime_factor": 10.0,
    "lm.occupancy": 0.9,
    "pipeline.efficiency_nano": 0.9,
    "pipeline.efficiency_simulated": 0.95,
    "load.ratio_worst": 1.0,
    "load.ratio_mean": 1.3,
    "nodes.growth": 0.95,
}
"""At least so much is wanted of each."""
LIMITS = {
    "lm.ms_per_frame_batch1": 45.0,
    "lm.text_step_ratio": 0.45,
    "manifests.read_amplification": 1.1,
    "manifests.keyed_s": 2.0,
    "manifests.keyed_mb": 500.0,
    "manifests.recomputed_rows": 32.0,
}
"""At most so much may each be."""


def latest() -> dict[str, float]:
    """The last figure of each name; quick runs do not count."""
    figures: dict[str, float] = {}
    for line in RESULTS.read_text().splitlines():
        facts = json.loads(line)
        if not facts["command"].endswith("--quick"):
            figures |= facts["figures"]
    return figures


def run(quick: bool) -> dict[str, float]:
    """Draw; returns how many times better than its goal each figure is."""
    del quick
    found = latest()
    goals = GOALS | LIMITS
    names = [name for name in goals if name in found]
    shares = [
        goals[name] / found[name] if name in LIMITS else found[name] / goals[name] for name in names
    ]
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(names) + 1.2), layout="constrained")
    colours = ["#2a7f62" if share >= 1 else "#c2571a" for share in shares]
    axes.barh(names, shares, color=colours)
    axes.axvline(1, color="#333333", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("how many times better than the goal (logarithmic)")
    axes.set_xlim(0.2, max(shares) * 2.5)
    axes.invert_yaxis()
    for place, name in enumerate(names):
        text = f" {found[name]:.3g} (goal {goals[name]:g})"
        axes.text(max(shares[place], 1), place, text, va="center", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    pyplot.rcParams["svg.hashsalt"] = "results"
    figure.savefig(RESULTS.with_name("results.svg"), metadata={"Date": None})
    return {f"{name}_of_goal": share for name, share in zip(names, shares, strict=True)}
