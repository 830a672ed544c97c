"""What tests share: one Ray, one S3 server over HTTP, and audio made on the spot."""

from __future__ import annotations

import io
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import soundfile
import torch

# stages that tests define must be importable in Ray's workers
ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = str(ROOT)
torch.set_num_threads(1)

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


# Marks by place: files whose tests start Ray in other processes, beside tests that use the fixture
# `cluster`, and files that take more than a few seconds. Single tests bear the mark `slow` by hand.
MARKS: dict[str, tuple[str, ...]] = {
    "tests/actors/disks/test_exclusive_names.py": ("slow",),
    "tests/actors/speech": ("slow",),
    "tests/actors/storage/test_model_hub.py": ("slow",),
    "tests/chaos": ("ray", "slow"),
    "tests/pipelines/cli/test_commands.py": ("ray",),
    "tests/pipelines/executor/test_inline_executor.py": ("slow",),
    "tests/pipelines/cli/test_imports.py": ("slow",),
    "tests/pipelines/cli/test_run_command.py": ("slow",),
    "tests/pipelines/executor/process": ("slow",),
    "tests/pipelines/executor/test_private_ray.py": ("ray",),
    "tests/pipelines/executor/test_ray_internals.py": ("ray",),
    "tests/pipelines/executor/test_worker_path.py": ("ray",),
    "tests/pipelines/job_server/test_detach.py": ("ray", "slow"),
    "tests/pipelines/jobs/commits/test_compaction.py": ("slow",),
    "tests/pipelines/jobs/test_attempts.py": ("slow",),
    "tests/pipelines/jobs/test_channels.py": ("slow",),
    "tests/pipelines/jobs/test_faults.py": ("ray",),
    "tests/pipelines/jobs/test_marks.py": ("slow",),
    "tests/pipelines/jobs/test_pending.py": ("slow",),
    "tests/pipelines/jobs/test_retry.py": ("slow",),
    "tests/pipelines/jobs/test_storage_faults.py": ("slow",),
    "tests/pipelines/planning/test_head_start.py": ("slow",),
    "tests/pipelines/manifest/formats/test_damage.py": ("slow",),
    "tests/pipelines/jobs/test_stopped_attempts.py": ("slow",),
    "tests/pipelines/progress/test_follow.py": ("slow",),
    "tests/pipelines/report/test_page.py": ("slow",),
    "tests/system": ("slow",),
    "tests/test_nano.py": ("slow",),
    "tests/test_notebooks.py": ("ray", "slow"),
    "tests/trust/test_ports.py": ("ray",),
    "tests/uniaudio2/checkpoint/published/test_convert.py": ("slow",),
    "tests/uniaudio2/entrypoints/test_imports.py": ("slow",),
    "tests/uniaudio2/lm/engine/test_engine_cuda_graphs.py": ("slow",),
    "tests/uniaudio2/scores/test_dnsmos.py": ("slow",),
    "tests/uniaudio2/test_devices.py": ("slow",),
    "tests/uniaudio2/training/test_stages.py": ("slow",),
    "tests/uniaudio2/training/trainers": ("slow",),
    "tests/zoo": ("slow",),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures and their places."""
    gone = [place for place in MARKS if not (ROOT / place).exists()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py marks what is not there: {', '.join(gone)}")
    for item in items:
        place = item.path.relative_to(ROOT).as_posix()
        in_cluster = "cluster" in getattr(item, "fixturenames", ())
        marks = {"ray"} if in_cluster else set()
        marks |= {
            mark for begin in MARKS if f"{place}/".startswith(f"{begin}/") for mark in MARKS[begin]
        }
        for mark in sorted(marks):
            item.add_marker(mark)
    if hasattr(config, "workerinput"):
        items.sort(key=_longest_first)


def _longest_first(item: pytest.Item) -> tuple[bool, ...]:
    """Where a test stands among those of several processes: nothing long is left for the end."""
    in_cluster = "cluster" in getattr(item, "fixturenames", ())
    return (not in_cluster, *(item.get_closest_marker(mark) is None for mark in ("ray", "slow")))


@pytest.fixture(autouse=True)
def no_ray_without_its_mark(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that starts Ray in this process says so, or `make test-fast` would start it."""
    module = sys.modules.get("ray")
    before = module is not None and module.is_initialized()
    yield
    module = sys.modules.get("ray")
    started = module is not None and module.is_initialized() and not before
    assert not started or request.node.get_closest_marker("ray"), "mark it: it starts Ray"


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's key of these tests is not the one of who runs them."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A real S3 API over HTTP; its address and credentials are in the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    yield os.environ["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def bucket(s3_server: str) -> str:
    """An empty bucket of its own, as ``s3://NAME``."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def cluster(s3_server: str) -> Iterator[None]:
    """One local Ray for all tests that need one; its workers inherit the S3 settings."""
    import ray

    from pipelines.executor.cluster import start_ray

    start_ray(None)
    yield
    ray.shutdown()


def tone(seconds: float, rate: int = 24_000, channels: int = 1, hz: float = 440.0) -> np.ndarray:
    """A sine, ``[N]`` or ``[N, channels]`` float32."""
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    wave = wave.astype(np.float32)
    return wave if channels == 1 else np.repeat(wave[:, None], channels, axis=1)


def wav_bytes(samples: np.ndarray, rate: int = 24_000, subtype: str = "PCM_16") -> bytes:
    """Samples as a WAV file in memory."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


@pytest.fixture
def make_audio(tmp_path: Path) -> Callable[..., Path]:
    """Write an audio file below the test's folder; the suffix chooses the format."""

    def make(name: str, seconds: float = 0.5, rate: int = 24_000, channels: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seconds, rate, channels), rate)
        return path

    return make
