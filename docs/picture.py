"""Draws the pipeline from the tables of the code: ``python docs/picture.py``.

``pipeline.svg`` is for a wide page, ``pipeline-narrow.svg`` for a phone. Stages, pools, tasks and
rates come from the code, so a stage or a task that is added appears here, or the test fails.
"""

from __future__ import annotations

from collections import defaultdict
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import get_args

from pipelines.config.settings import PoolName
from pipelines.executor.stage_monitor import TASK_STAGES
from uniaudio2.config import CODEBOOKS, CodecConfig
from uniaudio2.tasks.spec import Stage
from uniaudio2.tasks.table import TASKS

FOLDER = Path(__file__).parent
POOLS = get_args(PoolName)
FLOW = ("load", *POOLS, "write")
"""The stages of the stream, in order."""
KIND = {name: "Ray tasks" if name in TASK_STAGES else "actor pool" for name in FLOW}
WHAT = {
    "load": "fetch, resample",
    "encode": "codec encoder",
    "generate": "language model",
    "decode": "flow decoder",
    "write": "FLAC, Parquet",
}
"""What each is, in a few words."""
STEPS = {"plan": "check, cut, skip", **WHAT, "commit": "put if absent", "report": "one page"}
"""The same with what the driver does."""
_CODEC = CodecConfig()
_REASON_HZ = _CODEC.sample_rate / _CODEC.reason_samples
_RECON_HZ = _CODEC.sample_rate / _CODEC.recon_samples
PASSES = {
    "load": ("waves, 24 kHz,", "long: a reference"),
    "encode": (
        f"{CODEBOOKS} codes at {_REASON_HZ:g} Hz and",
        f"{CODEBOOKS} at {_RECON_HZ:g} Hz, uint16",
    ),
    "generate": ("codes,", "or a finished text"),
    "decode": ("waves, 24 kHz", "latents stay inside"),
}
"""What a stage hands to the next."""
KNOWN = ("tokenize", "asr", "text_only", "tts", "speech_s2s", "reconstruct", "detokenize")
"""The task that stands for all with the same stages."""

STYLE = """
  svg { --paper:#ffffff; --edge:#d0d7de; --ink:#1f2328; --soft:#59636e; --lane:#f3f5f8;
    --load:#6e7781; --encode:#0e8074; --generate:#7a4fd0; --decode:#c4570f; --write:#6e7781;
    --driver:#1f6feb; }
  @media (prefers-color-scheme: dark) { svg { --paper:#0d1117; --edge:#3d444d; --ink:#f0f6fc;
    --soft:#9198a1; --lane:#161b22; --load:#8b949e; --encode:#2fb8a6; --generate:#a98bf5;
    --decode:#f0883e; --write:#8b949e; --driver:#58a6ff; } }
  text { font: 14px -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
    fill: var(--ink); }
  .name { font-size: 17px; font-weight: 600; } .soft { fill: var(--soft); font-size: 13px; }
  .task { font: 600 14px ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; }
  .mid { text-anchor: middle; }
  .paper { fill: var(--paper); stroke: var(--edge); } .lane { fill: var(--lane); }
  .card { fill: var(--paper); stroke-width: 2; } .loose { stroke-dasharray: 5 4; }
  .way { stroke: var(--soft); stroke-width: 2; fill: none; marker-end: url(#tip); }
  .thin { stroke: var(--edge); stroke-width: 2; }
""" + "\n".join(
    f"  .{name} {{ stroke: var(--{name}); }} .on-{name} {{ fill: var(--{name}); }}"
    for name in (*FLOW, "driver")
)  # fmt: skip


class Drawing:
    """Elements of an SVG, one behind the other; lengths are pixels.

    Args:
        width: of the picture.
        height: of the picture.
    """

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)
        self._parts: list[str] = []
        self.box(0.5, 0.5, width - 1, height - 1, "paper", 12)

    def add(self, element: str) -> None:
        """Append an element."""
        self._parts.append(f"  {element}")

    def box(self, x: float, y: float, wide: float, high: float, kind: str, r: float = 8) -> None:
        """A rectangle with round corners."""
        self.add(
            f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="{r:g}" '
            f'class="{kind}"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """A line of text whose baseline is at `y`; nothing for no words."""
        if words:
            self.add(f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>')

    def way(self, *points: tuple[float, float]) -> None:
        """An arrow through points."""
        steps = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.add(f'<polyline points="{steps}" class="way"/>')

    def card(self, x: float, y: float, wide: float, name: str, what: str) -> None:
        """A stage or a step of the driver around the point (x, y): pools are drawn as stacks."""
        left, top, high = x - wide / 2, y - 29, 58.0
        pool = name in POOLS
        for offset in (10, 5) if pool else ():
            self.box(left + offset, top - offset, wide, high, f"card {name}")
        kind = name if name in FLOW else "driver"
        self.box(left, top, wide, high, f"card {kind}{' loose' if name in TASK_STAGES else ''}")
        self.text(x, y - 4, name, f"name mid on-{kind}")
        self.text(x, y + 17, what, "soft mid")

    def track(self, x: float, y: float, step: float, stages: tuple[Stage, ...]) -> None:
        """A task's way past the stages from `x`, with a dot at each that it uses."""
        self.add(f'<path d="M{x:g} {y:g}h{step * (len(FLOW) - 1):g}" class="thin"/>')
        for place, name in enumerate(FLOW):
            if name in stages or name == "write":
                self.add(f'<circle cx="{x + step * place:g}" cy="{y:g}" r="7" class="on-{name}"/>')

    def svg(self) -> str:
        """The whole file."""
        wide, high = self.size
        tip = (
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="var(--soft)"/></marker>'
        )
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" '
        return "\n".join(
            [
                f'{head}width="{wide:g}" height="{high:g}" role="img">',
                "<title>The pipeline of UniAudio2 Batch</title>",
                f"<style>{STYLE}</style>", f"<defs>{tip}</defs>", *self._parts, "</svg>", "",
            ]
        )  # fmt: skip


def task_groups() -> list[tuple[str, str, tuple[Stage, ...], str]]:
    """Tasks by the stages they use: the known one, how many others, the stages, what comes out."""
    groups = defaultdict(list)
    for task in TASKS.values():
        groups[task.stages].append(task)
    stand_ins = {TASKS[name].stages: name for name in KNOWN}
    lines = []
    for stages in sorted(groups, key=lambda stages: KNOWN.index(stand_ins[stages])):
        names = [task.name for task in groups[stages]]
        others = f"and {len(names) - 1} more" if len(names) > 1 else ""
        outputs = dict.fromkeys(task.output for task in groups[stages])
        lines.append((stand_ins[stages], others, stages, ", ".join(outputs)))
    return lines


def wide() -> str:
    """The picture for a page: stages side by side, tasks below them."""
    groups = task_groups()
    step, out, tasks_y, line = 140.0, 926.0, 366.0, 29.0
    at = {name: 236 + step * place for place, name in enumerate(FLOW)}
    drawing = Drawing(1000, tasks_y + line * len(groups) + 6)
    drawing.box(162, 12, 826, 92, "lane")
    drawing.box(162, 116, 692, 194, "lane")
    drawing.text(516, 42, "the driver", "name mid on-driver")
    drawing.text(516, 64, "It alone commits: one record a unit of rows, written last.", "soft mid")
    drawing.text(516, 84, "What is committed is never done again.", "soft mid")
    drawing.text(516, 140, "one Ray Data stream: a unit goes through it as one block", "soft mid")

    drawing.text(80, 54, "manifest", "name mid")
    drawing.text(80, 75, "local, s3://, …", "soft mid")
    drawing.card(at["load"], 58, 112, "plan", STEPS["plan"])
    drawing.card(at["write"], 58, 112, "commit", STEPS["commit"])
    drawing.card(out, 58, 104, "report", STEPS["report"])
    drawing.way((136, 58), (178, 58))
    drawing.way((at["load"], 87), (at["load"], 174))
    drawing.way((at["write"], 175), (at["write"], 89))
    drawing.way((at["write"] + 56, 58), (out - 54, 58))
    for name, after in pairwise(FLOW):
        start = at[name] + (67 if name in POOLS else 57)
        drawing.way((start, 204), (at[after] - 58, 204))
    for name in FLOW:
        drawing.card(at[name], 204, 112, name, WHAT[name])
    for name, (first, second) in PASSES.items():
        middle = at[name] + step / 2 + 2
        drawing.add(f'<path d="M{middle:g} 214v42" class="thin"/>')
        drawing.text(middle, 274, first, "soft mid")
        drawing.text(middle, 293, second, "soft mid")
    drawing.way((at["write"] + 57, 204), (out - 46, 204))
    drawing.text(out, 200, "OUTPUT", "name mid")
    drawing.text(out, 221, "data, audio", "soft mid")

    drawing.text(26, 338, "task", "soft")
    drawing.text(out - 54, 338, "yields", "soft")
    for name in FLOW:
        drawing.text(at[name], 338, KIND[name], f"mid soft on-{name}")
    for place, (name, others, stages, yields) in enumerate(groups):
        y = tasks_y + line * place
        drawing.text(26, y + 5, name, "task")
        drawing.text(130, y + 5, others, "soft")
        drawing.track(at["load"], y, step, stages)
        drawing.text(out - 54, y + 5, yields)
    return drawing.svg()


def narrow() -> str:
    """The picture for a phone: stages one below the other, then the tasks."""
    groups, left, right, tasks_y, line = task_groups(), 108.0, 222.0, 826.0, 43.0
    at = {"plan": 100.0, **{name: 218 + 88.0 * place for place, name in enumerate(FLOW)}}
    at |= {"commit": 676, "report": 764}
    notes = {"plan": ("the driver", "units of rows", ""), **{n: (KIND[n], "", "") for n in FLOW}}
    notes |= {name: (KIND[name], *PASSES[name]) for name in PASSES}
    notes["write"] = (KIND["write"], "data, audio to OUTPUT", "")
    notes |= {"commit": ("the driver alone", "once a unit is stored", ""), "report": ("", "", "")}
    drawing = Drawing(400, tasks_y + 58 + line * len(groups))
    for top, bottom in ((58, 160), (168, 626), (634, 806)):
        drawing.box(10, top, 380, bottom - top, "lane")
    drawing.text(left, 36, "manifest", "name mid")
    drawing.text(right, 36, "local, s3://, …", "soft")
    drawing.way((left, 44), (left, at["plan"] - 31))
    for name, after in pairwise(at):
        drawing.way((left, at[name] + 29), (left, at[after] - 30 - 10 * (after in POOLS)))
    for name, y in at.items():
        drawing.card(left, y, 168, name, STEPS[name])
        kind, first, second = notes[name]
        drawing.text(right, y - 3, kind, f"soft on-{name if name in FLOW else 'driver'}")
        drawing.text(right, y + 37, first, "soft")
        drawing.text(right, y + 54, second, "soft")

    for place, name in enumerate(FLOW):
        y = tasks_y + 14 + 18 * (place % 2)
        drawing.text(132 + 41 * place, y, name, f"mid soft on-{name}")
    for place, (name, others, stages, yields) in enumerate(groups):
        y = tasks_y + 62 + line * place
        drawing.text(20, y + 5, name, "task")
        drawing.text(20, y + 21, others, "soft")
        drawing.track(132, y, 41, stages)
        drawing.text(310, y + 5, yields, "soft")
    return drawing.svg()


def main() -> None:
    """Write both pictures."""
    for name, draw in (("pipeline.svg", wide), ("pipeline-narrow.svg", narrow)):
        (FOLDER / name).write_text(draw())


if __name__ == "__main__":
    main()
