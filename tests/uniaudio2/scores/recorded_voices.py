"""What Resemblyzer itself says of the fifty clips' voices, recorded.

``python -m tests.uniaudio2.scores.recorded_voices`` records anew, into `voice_figures.json`; it
needs resemblyzer with all that it imports, which no test does.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from tests.uniaudio2.scores.clips import COUNT, clip
from uniaudio2.scores.models.onnx_model import Array

FIGURES = Path(__file__).with_name("voice_figures.json")
EVERY = 8


def some_of(vector: Array) -> list[float]:
    """Every eighth value of a voice's vector."""
    return [round(float(value), 6) for value in vector[::EVERY]]


def recorded() -> list[list[float]]:
    """Of every clip, what the package makes of it as it is, through `some_of`."""
    figures: list[list[float]] = json.loads(FIGURES.read_text())["voices"]
    return figures


def main() -> None:
    """Record what the package says of every clip."""
    from importlib.metadata import version

    encoder = import_module("resemblyzer").VoiceEncoder("cpu", verbose=False)
    packages = {name: version(name) for name in ("resemblyzer", "librosa", "torch")}
    lines = [json.dumps(some_of(encoder.embed_utterance(clip(n)))) for n in range(COUNT)]
    text = ",\n".join(lines)
    FIGURES.write_text(f'{{"packages": {json.dumps(packages)}, "voices": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
