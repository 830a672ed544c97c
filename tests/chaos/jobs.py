"""The job under test, and its result as an outsider reads it: objects, JSON and Parquet alone."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import secrets
import shutil
import tempfile
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow.parquet as pq
import soundfile
from moto.server import ThreadedMotoServer

from pipelines.run_state.commit_record import FIRST_MERGED
from tests.chaos.proxy import FaultProxy, Passed
from tests.conftest import CREDENTIALS, tone, wav_bytes

ROOT = Path(__file__).parents[2]
BUCKET = "chaos"
AUDIO_TOLERANCE = 1e-3
CLIP_S = 0.4
PART_BYTES = 25_000  # of a few units: parts are merged all the time
COMMIT_INTERVAL_S = 0.5  # of a few units, too
# of units; what merges them is numbered from 90,000,000
_PART = re.compile(r"/(?:data|errors)/part-([0-8]\d{7})-")
_COMMIT = re.compile(r"/_log/units/(\d{8})\.json$")
_ROW_FIELDS = ("reason_codes", "recon_codes", "finish_reason", "seed", "duration_s")


@dataclass(frozen=True)
class Job:
    """A task over `rows` rows; the same numbers are the same job."""

    task: str
    rows: int
    unit_rows: int = 2
    max_frames: int = 24

    @property
    def units(self) -> int:
        return -(-self.rows // self.unit_rows)

    @property
    def source(self) -> str:
        """Address of its manifest."""
        return f"s3://{BUCKET}/in/{self.task}-{self.rows}/manifest.jsonl"

    def arguments(self, output: str) -> list[str]:
        """What follows the command's name."""
        # a unit may be hit many times here, and no row is to be given up for that
        settings = [f"unit_rows={self.unit_rows}", "max_attempts=20", "flow.steps=2"]
        settings.append(f"parts.target_bytes={PART_BYTES}")
        settings.append(f"commit_interval_s={COMMIT_INTERVAL_S}")
        if self.task == "tts":
            settings.append(f"sampling.max_frames={self.max_frames}")
        sets = [word for setting in settings for word in ("--set", setting)]
        common = ["--model", "tiny", "--seed", "5", "--quiet"]
        return ["run", self.task, self.source, output, *common, *sets]


class Stand:
    """An S3 server, the bad network before it, and a scratch folder, for any number of jobs.

    Args:
        rate: share of storage requests that go wrong.
        seed: of the faults.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self.rate = rate
        self.scratch = Path(tempfile.mkdtemp(prefix="ua-"))
        self.token = secrets.token_hex(32)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.proxy = FaultProxy(f"http://{host}:{port}", 0.0, seed)
        self.s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        )
        self.s3.create_bucket(Bucket=BUCKET)
        self._outputs = 0

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.__exit__()
        self._server.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def new_output(self, name: str) -> str:
        """An address that no job has used."""
        self._outputs += 1
        return f"s3://{BUCKET}/out/{self._outputs:03d}-{name}"

    def environment(self) -> dict[str, str]:
        """What a driver and its workers need to find the storage and each other."""
        return {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.proxy.url,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,  # of the cluster that some jobs join
            "RAY_TMPDIR": str(self.scratch),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }

    def store_input(self, job: Job) -> None:
        """Write the manifest, and for tasks that read audio the files it names."""
        folder = job.source.removeprefix(f"s3://{BUCKET}/").rsplit("/", 1)[0]
        rows: list[dict[str, Any]] = []
        for number in range(job.rows):
            row: dict[str, Any] = {"id": f"row {number:04d}/ü", "text": f"line {number} of many"}
            if job.task == "reconstruct":
                row["audio"] = f"clip-{number % 12}.wav"
            rows.append(row)
        for number in range(12 if job.task == "reconstruct" else 0):
            clip = wav_bytes(tone(CLIP_S, hz=200.0 + 50 * number))
            self.s3.put_object(Bucket=BUCKET, Key=f"{folder}/clip-{number}.wav", Body=clip)
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        self.s3.put_object(Bucket=BUCKET, Key=f"{folder}/manifest.jsonl", Body=text)

    def marks(self, output: str, folder: str = "") -> dict[str, str]:
        """Every object below an output, path to the mark of its version."""
        prefix = output.removeprefix(f"s3://{BUCKET}/") + "/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix + folder
        )
        return {
            item["Key"].removeprefix(prefix): f"{item['ETag']} {item['LastModified']}"
            for page in pages
            for item in page.get("Contents", [])
        }

    def commit_marks(self, output: str) -> dict[str, str]:
        """Every commit record with the mark of its version."""
        return self.marks(output, "_log/units/")

    def read(self, output: str, path: str) -> bytes:
        """An object's bytes, past the bad network."""
        key = f"{output.removeprefix(f's3://{BUCKET}/')}/{path}"
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def written(self, output: str) -> list[Passed]:
        """PUTs below an output that took effect, in order."""
        return self.proxy.written(f"/{output.removeprefix('s3://')}/")

    def replaced(self, output: str, path: str) -> bool:
        """Whether a record says that it holds in the place of another one."""
        unit = int(path.rpartition("/")[2][:8])
        merged = [p for p in self.marks(output) if p.startswith("_log/units/9")]
        runs = [run for p in merged for run in json.loads(self.read(output, p))["replaces"]]
        return any(first <= unit <= last for first, last in runs)

    def commits_made(self, output: str) -> int:
        """How many commit records were written, from what passed the proxy."""
        return len({p.path for p in self.written(output) if _COMMIT.search(p.path)})

    def units_made(self, output: str) -> int:
        """How many units are committed, from what passed the proxy."""
        return len({unit for put in self.written(output) for unit in committed_units(put)})


def committed_units(put: Passed) -> list[int]:
    """The units that a PUT commits, alone or together with others; none where it is no record."""
    match = _COMMIT.search(put.path)
    if match is None:
        return []
    if not put.body:
        return [int(match[1])]
    runs = json.loads(put.body)["replaces"]
    return [unit for first, last in runs for unit in range(first, last + 1) if unit < FIRST_MERGED]


@dataclass
class Result:
    """What an output holds.

    Attributes:
        rows: facts of a row by id, from parts that a commit names.
        waves: its audio, ``[N]`` float32.
        errors: kind of error by id.
        seen: how often an id is in data or errors.
        orphans: parts and audio files that no commit, or no committed row, names.
        missing: objects that are named and not there.
        spoiled: objects whose contents are not those that their commit states.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    waves: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    spoiled: list[str] = field(default_factory=list)


def read_result(stand: Stand, output: str) -> Result:
    """Follow the commit records to parts, rows and audio files."""
    there = set(stand.marks(output))
    result = Result()
    named: set[str] = set()
    for path in sorted(p for p in there if p.startswith("_log/units/")):
        commit = json.loads(stand.read(output, path))
        result.spoiled += [
            name
            for name, mark in commit.get("files", {}).items()
            if name in there and _mark(stand.read(output, name)) != mark
        ]
        for part in (*commit["data"], *commit["error_parts"]):
            named.add(part)
            if part in there:
                _read_part(stand, output, part, result, named)
    result.missing = sorted(named - there)
    kept = ("data/", "errors/", "audio/", "_tokens/")
    result.orphans = sorted(p for p in there - named if p.startswith(kept))
    return result


def _mark(data: bytes) -> list[int | str]:
    """Size and hash of an object, as a commit record states them."""
    return [len(data), hashlib.blake2b(data, digest_size=16).hexdigest()]


def _read_part(stand: Stand, output: str, part: str, result: Result, named: set[str]) -> None:
    for row in pq.read_table(io.BytesIO(stand.read(output, part))).to_pylist():
        result.seen[row["id"]] += 1
        if part.startswith("errors/"):
            result.errors[row["id"]] = f"{row['kind']}: {row['message']}"
            continue
        result.rows[row["id"]] = {name: row.get(name) for name in _ROW_FIELDS}
        named.add(row["audio_path"])
        try:
            sound = stand.read(output, row["audio_path"])
        except stand.s3.exceptions.NoSuchKey:
            continue  # `missing` tells of it
        result.waves[row["id"]], _ = soundfile.read(io.BytesIO(sound), dtype="float32")


@dataclass
class Verdict:
    """A job's result beside that of a clean run.

    Attributes:
        lost: ids in neither data nor errors, and named objects that are not there.
        doubled: ids that are there more than once, and commit records that were written twice
            or changed.
        different: ids whose codes, facts or audio differ from the clean run's, and objects that are
            not what their commit states.
        given_up: ids in the errors table that the clean run has done.
        orphans: objects that no commit names.
        again: units written more than once, by starts none of which found them committed; work
            that was lost before its part was written leaves no trace and is not counted.
        after_commit: parts of units that an earlier start had committed.
        audio_error: largest difference of any sample.
    """

    lost: list[str]
    doubled: list[str]
    different: list[str]
    given_up: list[str]
    orphans: list[str]
    again: int
    after_commit: list[str]
    audio_error: float

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        broken = (self.lost, self.doubled, self.different, self.orphans, self.after_commit)
        return not any(broken)

    def describe(self) -> str:
        """What is wrong, in one line."""
        names = ("lost", "doubled", "different", "given_up", "orphans", "after_commit")
        parts = [f"{n} {getattr(self, n)[:4]}" for n in names if getattr(self, n)]
        return "; ".join(parts) or "nothing"


def compare(clean: Result, chaotic: Result) -> Verdict:
    """Hold a result against that of the clean run; work is counted by `count_work`."""
    wanted = set(clean.seen)
    lost = sorted(wanted - set(chaotic.seen)) + chaotic.missing
    doubled = sorted(name for name, times in chaotic.seen.items() if times > 1)
    different = sorted(set(chaotic.seen) - wanted) + chaotic.spoiled
    error = 0.0
    for name in sorted(set(clean.rows) & set(chaotic.rows)):
        gap = _gap(clean.waves.get(name), chaotic.waves.get(name))
        error = max(error, gap)
        if clean.rows[name] != chaotic.rows[name] or gap > AUDIO_TOLERANCE:
            different.append(name)
    given_up = sorted(set(chaotic.errors) & set(clean.rows))
    return Verdict(lost, doubled, different, given_up, chaotic.orphans, 0, [], error)


def _gap(one: np.ndarray | None, other: np.ndarray | None) -> float:
    if one is None or other is None or one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).max(initial=0.0))


def count_work(verdict: Verdict, written: list[Passed], begins: list[float]) -> None:
    """Add what the order of the writes tells: work done again, and work on committed units.

    A worker that dies between handing over its receipt and reporting that it is done has its write
    repeated by Ray, and the commit may be quicker. The part is swept like any other that no commit
    names; the unit counts as written again.

    Args:
        verdict: to be completed.
        written: PUTs in the order in which they took effect.
        begins: monotonic seconds at which the job was started, in order.
    """
    committed: dict[int, int] = {}
    records: set[str] = set()
    parts: dict[int, set[str]] = {}
    for put in written:
        start = bisect_right(begins, put.at)
        if match := _COMMIT.search(put.path):
            if match[1] in records:
                verdict.doubled.append(f"commit record {match[1]} was written twice")
            records.add(match[1])
            for unit in committed_units(put):
                committed.setdefault(unit, start)
        elif match := _PART.search(put.path):
            unit, name = int(match[1]), put.path.rsplit("part-", 1)[1]
            known = parts.setdefault(unit, set())
            if committed.get(unit, start) < start and name not in known:
                verdict.after_commit.append(put.path)
            known.add(name)
    verdict.again = sum(len(names) > 1 for names in parts.values())
