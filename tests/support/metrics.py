"""A real run that is looked at while it serves metrics."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines import JobConfig, RunResult, run_job
from pipelines.cli.demo import EXAMPLES
from pipelines.executor.inline_executor import InlineExecutor

Samples = dict[tuple[str, str], float]


class Watched(InlineExecutor):
    """Looks after every unit, and when all of them are committed."""

    def __init__(self, look: Callable[[str], None]) -> None:
        self.look = look

    def stream(self, *given: Any, **named: Any) -> Iterator[Any]:
        for outcome in super().stream(*given, **named):
            yield outcome
            self.look("unit")

    def submit(self, *given: Any) -> Any:
        self.look("end")
        return super().submit(*given)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scraped(port: int) -> Samples:
    """Values by name and label."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    # imported here, for the extra need not be installed
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def manifest(folder: Path) -> str:
    """Five clips, and a row whose file is absent."""
    rows = [json.loads(line) for line in (EXAMPLES / "recordings.jsonl").read_text().splitlines()]
    rows = [
        {"id": f"c{n}", "audio": str(EXAMPLES / row["audio"])} for n, row in enumerate(rows[:5])
    ]
    rows.insert(2, {"id": "gone", "audio": str(folder / "gone.wav")})
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(folder: Path, port: int, look: Callable[[str], None], **settings: Any) -> RunResult:
    given = {"task": "tokenize", "model": "nano", "unit_rows": 2, "commit_interval_s": 0}
    job = JobConfig(
        input=manifest(folder), output=str(folder / "out"), metrics_port=port, **given | settings
    )
    return run_job(job, executor=Watched(look))
