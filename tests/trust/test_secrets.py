"""No credential that a run works with is in anything that it says, serves, records or writes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest

from tests.conftest import tone, wav_bytes

MARK = "mArKeDsEcReT"
NAMES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN",
    "AZURE_STORAGE_KEY", "GOOGLE_API_KEY", "WANDB_API_KEY", "DB_PASSWORD",
)  # fmt: skip
SERVES = find_spec("prometheus_client") is not None


def secrets() -> dict[str, str]:
    """A value of its own for each variable."""
    return {name: f"{MARK}{number}{name[:2]}" for number, name in enumerate(NAMES)}


def put_input(s3: object, bucket: str) -> None:
    """Three clips, one that is no audio and one that is absent."""
    names = ["a", "b", "c", "torn", "gone"]
    clips = dict.fromkeys("abc", wav_bytes(tone(0.5, 16_000), 16_000)) | {"torn": b"no audio"}
    for name, data in clips.items():
        s3.put_object(Bucket=bucket, Key=f"in/{name}.wav", Body=data)  # type: ignore[attr-defined]
    rows = [{"id": name, "audio": f"s3://{bucket}/in/{name}.wav"} for name in names]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    s3.put_object(Bucket=bucket, Key="in/m.jsonl", Body=text.encode())  # type: ignore[attr-defined]


def scraped_until_the_end(running: subprocess.Popen[str], errors: Path) -> tuple[str, str]:
    """What is printed, and all that is served meanwhile."""
    assert running.stdout is not None
    said, served = [], ""
    for line in running.stdout:
        said.append(line)
        if found := re.search(r"http://(127\.0\.0\.1:\d+/metrics)", line):
            while running.poll() is None and "uniaudio2_rows_total" not in served:
                try:
                    with urllib.request.urlopen(f"http://{found[1]}") as answer:
                        served = answer.read().decode()
                except OSError:
                    break
                time.sleep(0.05)
    running.wait()
    return "".join(said) + errors.read_text(), served


def told(data: bytes) -> str:
    """Bytes as they are, and the cells of what is Parquet."""
    text = data.decode("utf-8", "replace")
    if data.startswith(b"PAR1"):
        table = pq.read_table(io.BytesIO(data))
        text += str(table.schema.metadata) + str(table.to_pylist())
    return text


@pytest.mark.slow
def test_no_credential_is_told(s3_server: str, bucket: str, tmp_path: Path) -> None:
    """Logs, events, metrics, every object of OUTPUT with its report, and what is left on disk."""
    s3, name = boto3.client("s3", endpoint_url=s3_server), bucket.removeprefix("s3://")
    put_input(s3, name)
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    env = {**os.environ, **secrets(), "AWS_ENDPOINT_URL": s3_server, "HOME": str(home)}
    env |= {"XDG_STATE_HOME": str(home / "state"), "TMPDIR": str(home / "tmp")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # it imports what these tests do
    command = [
        sys.executable, "-m", "pipelines.cli", "run", "tokenize", f"{bucket}/in/m.jsonl",
        f"{bucket}/out", "--model", "tiny", "--executor", "process", "--json", "--verbose",
        *(("--metrics-port", "0") if SERVES else ()),
    ]  # fmt: skip
    errors = tmp_path / "stderr"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=log, text=True
        ) as running,
    ):
        said, served = scraped_until_the_end(running, errors)
    assert running.returncode == 3, said  # two rows failed, and their messages are searched, too
    assert ("uniaudio2_rows_total" in served) == SERVES
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=name, Prefix="out/")["Contents"]]
    assert {"out/run.json", "out/report.html"} < set(keys)
    assert any(key.startswith("out/errors/") for key in keys)
    places = {"said": said, "served": served}
    for key in keys:
        places[key] = told(s3.get_object(Bucket=name, Key=key)["Body"].read())
    for path in home.rglob("*"):
        if path.is_file():
            places[str(path)] = told(path.read_bytes())
    assert [place for place, text in places.items() if MARK in text] == []
