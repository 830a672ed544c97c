"""``python -m benchmarks NAME [--quick] [--json]``."""

from __future__ import annotations

import argparse
import json

from benchmarks import driver, encode, flow, gpu, lm, pipeline, plot, record

BENCHMARKS = {
    "driver": driver.run,
    "encode": encode.run,
    "flow": flow.run,
    "gpu": gpu.run,
    "lm": lm.run,
    "pipeline": pipeline.run,
    "plot": plot.run,
}


def main() -> None:
    """Run one benchmark and print its table; with ``--json`` the last line is one object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer frames, rougher figures")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    figures = BENCHMARKS[arguments.name](arguments.quick)
    if arguments.name != "plot":
        record.append(arguments.name, arguments.quick, figures)
    if arguments.json:
        print(json.dumps(figures))


main()
