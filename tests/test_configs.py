"""Shipped settings: each is valid, fits its machine, and its commands parse."""

from __future__ import annotations

import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.config.make_job import make_job
from pipelines.planning.pool_sizing import fit_pools
from tests.support.commands import check_parses, joined_lines, of_uniaudio2

CONFIGS = Path(__file__).parents[1] / "configs"
MACHINES = {
    "laptop": {"CPU": 2.0},
    "one-gpu": {"CPU": 8.0, "GPU": 1.0},
    "one-gpu-replicas": {"CPU": 8.0, "GPU": 1.0},
    "node-8-gpus": {"CPU": 32.0, "GPU": 8.0},
    "cluster": {"CPU": 64.0, "GPU": 28.0},
}
GIVEN = {"input": "in", "output": "out"}


def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((CONFIGS / "cluster-rayjob.yaml").read_text())
    return manifest


def test_every_file_is_tested() -> None:
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert names == {*MACHINES, "cluster-rayjob"}


@pytest.mark.parametrize("name", MACHINES)
def test_settings_are_valid_and_fit_their_machine(name: str) -> None:
    for task in ("speech_s2s", "tokenize", "asr", "tts"):
        job = make_job({**GIVEN, "task": task}, str(CONFIGS / f"{name}.yaml"))
        pools = fit_pools(job, MACHINES[name]).pools
        assert [pool.name for pool in pools] == [s for s in job.spec.stages if s != "load"]


def test_replicas_share_one_gpu() -> None:
    job = make_job({**GIVEN, "task": "speech_s2s"}, str(CONFIGS / "one-gpu-replicas.yaml"))
    pools = fit_pools(job, MACHINES["one-gpu-replicas"]).pools
    assert [(pool.name, pool.max_size) for pool in pools] == [
        ("encode", 2), ("generate", 1), ("decode", 2),
    ]  # fmt: skip
    assert sum(pool.max_size * pool.num_gpus for pool in pools) == pytest.approx(1)


@pytest.mark.parametrize("name", MACHINES)
def test_commands_in_the_comments(name: str) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    comments = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    commands = joined_lines(comments)
    direct = [line for line in commands if line.startswith("uniaudio2 ")]
    submitted = [line for line in commands if line.startswith("ray job submit ")]
    assert len(direct) == len(submitted) == 1
    for command in (direct[0], submitted[0].partition(" -- ")[2]):
        words = shlex.split(command)
        check_parses(words)
        assert words[words.index("--config") + 1] == f"configs/{name}.yaml"


def test_the_manifest_runs_the_config_beside_it() -> None:
    manifest = _manifest()
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    spec = manifest["spec"]
    command, _, rest = spec["entrypoint"].partition("||")
    assert rest.strip() == "test $? -eq 3"
    words = shlex.split(command)
    check_parses(words)
    config = words[words.index("--config") + 1]
    assert config == "/app/configs/cluster.yaml"
    assert of_uniaudio2(words)["task"] == "speech_s2s"
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    assert cluster["enableInTreeAutoscaling"] is True


def test_the_manifest_can_grow_to_what_the_config_asks_for() -> None:
    cluster = _manifest()["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    gpus, cpus = (int(worker["resources"]["limits"][name]) for name in ("nvidia.com/gpu", "cpu"))
    job = make_job({**GIVEN, "task": "speech_s2s"}, str(CONFIGS / "cluster.yaml"))
    pools = (job.encode, job.generate, job.decode)
    assert job.address == "auto"
    assert sum(pool.min_size for pool in pools) <= group["minReplicas"] * gpus
    assert sum(pool.max_size or 0 for pool in pools) == group["maxReplicas"] * gpus
    assert cpus > gpus  # reading needs some too
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["image"] == worker["image"]
    assert "env" not in head  # credentials come from a secret
    assert [one["name"] for one in worker["env"]] == ["RAY_idle_worker_killing_time_threshold_ms"]


def test_pods_mount_what_they_have() -> None:
    cluster = _manifest()["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert volumes == mounted


@pytest.mark.parametrize("name", ["array", "two-nodes"])
def test_scripts_of_slurm_can_be_read(name: str) -> None:
    """They are run by hand: see docs/clusters.md."""
    script = CONFIGS / f"slurm/{name}.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text().splitlines()
    options = [line for line in lines if line.startswith("#SBATCH ")]
    last = max(lines.index(option) for option in options)
    # sbatch reads none behind the first command
    assert all(line.startswith("#") for line in lines[: last + 1])
    assert "#SBATCH --signal=B:TERM@60" in options
