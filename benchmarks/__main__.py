"""``python -m benchmarks NAME [--quick] [--json]``; some take `--against` or `--nodes`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import (
    agreement,
    commits,
    dedup,
    driver,
    encode,
    flow,
    forecast,
    gpu,
    kernels,
    lm,
    load,
    manifests,
    nodes,
    passages,
    pipeline,
    plan,
    plot,
    record,
    scale,
    start,
    times,
    trust,
    verify,
    waves,
)
from benchmarks.peers import bench as peers

BENCHMARKS = {
    "agreement": agreement.run,
    "commits": commits.run,
    "dedup": dedup.run,
    "driver": driver.run,
    "encode": encode.run,
    "flow": flow.run,
    "forecast": forecast.run,
    "gpu": gpu.run,
    "kernels": kernels.run,
    "lm": lm.run,
    "load": load.run,
    "manifests": manifests.run,
    "nodes": nodes.run,
    "passages": passages.run,
    "peers": peers.run,
    "pipeline": pipeline.run,
    "plan": plan.run,
    "plot": plot.run,
    "scale": scale.run,
    "start": start.run,
    "times": times.run,
    "trust": trust.run,
    "verify": verify.run,
    "waves": waves.run,
}


def main() -> None:
    """Run one benchmark and print its table; with ``--json`` the last line is one object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer frames, rougher figures")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="of those that compare: another checkout, measured beside this one",
    )
    parser.add_argument("--nodes", type=int, metavar="N", help="of start: what a cluster costs")
    parser.add_argument("--rows", type=int, metavar="N", help="of peers: clips to transcribe")
    parser.add_argument(
        "--recogniser", type=Path, metavar="DIR", help="of verify: where it is kept, once trained"
    )
    parser.add_argument(
        "--part", action="append", choices=gpu.PARTS, help="of gpu: this alone (repeatable)"
    )
    arguments = parser.parse_args()
    beside = ("driver", "encode", "flow", "lm", "load", "manifests", "plan", "start", "trust")
    more: dict[str, Any] = {"against": arguments.against} if arguments.name in beside else {}
    if arguments.name == "start" and arguments.nodes:
        more["nodes"] = arguments.nodes
    if arguments.name == "peers":
        more["rows"] = arguments.rows
    if arguments.name == "verify":
        more["recogniser"] = arguments.recogniser
    if arguments.name == "gpu" and arguments.part:
        more["parts"] = arguments.part
    figures = BENCHMARKS[arguments.name](arguments.quick, **more)
    if arguments.name != "plot":
        words = [f"--part {part}" for part in arguments.part or ()]
        name = " ".join([arguments.name, *words])
        record.append(name, arguments.quick, figures, arguments.against)
    if arguments.json:
        print(json.dumps(figures))


main()
