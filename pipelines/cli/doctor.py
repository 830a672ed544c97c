"""``uniaudio2 doctor``: checks that this machine is ready, and says what to do where it is not."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Annotated

import typer

from pipelines.cli.checks.check import Check
from pipelines.cli.checks.machine import MACHINE, free_in
from pipelines.cli.checks.network import NETWORK
from pipelines.cli.checks.optional import OPTIONAL
from pipelines.errors import RunFailed
from uniaudio2.shown import shown
from uniaudio2.terminal import say

OLDEST_PYTHON = (3, 11)
EXIT_CHECKS_FAILED = 1
_FOUND = 2000


def check_python(running: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """The interpreter is new enough."""
    found = ".".join(map(str, running))
    if running >= OLDEST_PYTHON:
        return Check("python", found)
    return Check("python", found, "install Python 3.11 or newer and run `make setup` with it")


def check_torch() -> Check:
    """torch is there, and sees the GPU if this machine has one."""
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    found = f"{torch.__version__}, {built}"
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        names = {torch.cuda.get_device_name(number) for number in range(count)}
        return Check("torch", f"{found}, {count} x {', '.join(sorted(names))}")
    if shutil.which("nvidia-smi"):
        remedy = (
            "this machine has an NVIDIA driver that torch does not use: install torch built for "
            "CUDA, and see that `nvidia-smi` lists a device"
        )
        return Check("torch", f"{found}, no GPU found", remedy)
    return Check("torch", f"{found}, no GPU: runs use the CPU")


def check_torchaudio() -> Check:
    """Audio of every kind can be written, read and resampled."""
    import torch

    from uniaudio2.audio.files import decode_audio, encode_audio
    from uniaudio2.audio.resampling import resample

    wave = resample(torch.zeros(1600), 16_000)
    for kind in ("flac", "wav"):
        decode_audio(encode_audio(wave, kind))
    return Check("torchaudio", f"{version('torchaudio')}, reads, writes and resamples")


def check_ray(address: str | None) -> list[Check]:
    """Ray starts, or the cluster at `address` answers and runs a task of this version; and who
    may use what it opens."""
    import ray

    from pipelines.executor.cluster import start_ray

    running = ray.is_initialized()
    start_ray(address)
    try:
        there = ray.get(ray.remote(lambda: sys.version_info[:2]).remote(), timeout=120)
        resources = ray.cluster_resources()
        nodes = sum(node["Alive"] for node in ray.nodes())
        ports = check_ports(address)
    finally:
        if not running:
            ray.shutdown()
    found = (
        f"{ray.__version__}, {nodes} node{'s' * (nodes != 1)}, {resources.get('CPU', 0):g} CPUs, "
        f"{resources.get('GPU', 0):g} GPUs"
    )
    if tuple(there) != sys.version_info[:2]:
        remedy = f"the cluster runs Python {there[0]}.{there[1]}; use the same version everywhere"
        return [Check("ray", found, remedy), ports]
    return [Check("ray", found), ports]


def check_ports(address: str | None) -> Check:
    """List the ports that Ray has open, and tell whether they ask for a token."""
    import ray

    from pipelines.executor.ports import ray_ports
    from pipelines.executor.ray_internals import asks_for_token

    ports = sorted({(port.process, port.is_open_to_others) for port in ray_ports()})
    names = ", ".join(f"{name} ({'all' if others else 'loopback'})" for name, others in ports)
    found = f"open ports by process and interface: {names or 'not visible from here'}"
    metrics = any(node.get("MetricsExportPort", -1) > 0 for node in ray.nodes())
    if asks_for_token():
        pages = ", but for pages of metrics, which [cluster] brings" if metrics else ""
        return Check("ports", f"{found}; each asks for the token{pages}")
    remedy = (
        f"whoever reaches a port of {address or 'this Ray'} runs code as its user: start the "
        "cluster with RAY_AUTH_MODE=token on every node, inside a private network"
    )
    return Check("ports", f"{found}; no token is asked for", remedy)


def check_job_server(address: str) -> Check:
    """The cluster takes jobs: its head was started with what that needs."""
    from pipelines.job_server.client import REMEDY, check_answers, find_server

    try:
        server = find_server(address)
    except RunFailed as fault:
        return Check("job server", str(fault).removesuffix(REMEDY), REMEDY)
    check_answers(server)
    return Check("job server", f"{server}: takes `run --detach` and `ray job submit`")


def check_model(source: str | None = None) -> Check:
    """The model's files are there and fit its configuration: it is loaded, on the CPU."""
    from actors.storage.model_source import local_model
    from uniaudio2.checkpoint.folders import DEFAULT_MODEL, model_fingerprint
    from uniaudio2.entrypoints.model import UniAudio2

    name = source or DEFAULT_MODEL
    config = UniAudio2.load(local_model(name), device="cpu").config
    trained = "" if config.trained else ", untrained: its output is meaningless"
    return Check("model", f"{name}: {model_fingerprint(config)}{trained}")


def check_storage(uri: str) -> Check:
    """An object below `uri` can be written, read, listed and removed, and created only once.

    The object has a name of its own and is removed; the folder itself stays on a local disk.
    """
    from actors.storage.object_store import Storage

    storage = Storage(uri)
    path = f"uniaudio2-doctor-{uuid.uuid4().hex}"
    storage.put(path, b"first")
    try:
        if storage.read(path) != b"first" or path not in storage.list(""):
            remedy = "a listing lacks what was just written: use a store with strong consistency"
            return Check("storage", uri, remedy)
    finally:
        storage.delete(path)
    fenced = storage.has_conditional_writes(path)
    if storage.is_local:
        return _disk_check(uri, path, fenced)
    if fenced:
        return Check("storage", f"{uri}: reads, writes, conditional writes")
    remedy = (
        "it ignores conditional writes (If-None-Match): results stay right, but nothing stops a "
        "second run into the same OUTPUT; never start two, or use a store that supports them"
    )
    return Check("storage", f"{uri}: reads, writes", remedy)


_WAYS = {
    "link": "",
    "rename": " (no hard links: exclusive renames in their place)",
    "lock": " (no hard links: a lock in their place)",
}


def _disk_check(uri: str, path: str, fenced: bool) -> Check:
    """What a folder of a disk is like, where an object was just written and removed."""
    from actors.storage.addresses import local_path
    from actors.storage.local_folder import LocalFolder

    folder = local_path(uri)
    free, little = free_in(folder)
    way = _WAYS[LocalFolder(folder).exclusive_way(path)]
    other = "" if fenced else "see that no other machine writes there while a run does"
    hint = "; ".join(filter(None, (other, little and f"make room for results: {little}")))
    return Check("storage", f"{uri}: reads, writes, conditional writes{way}, {free}", hint=hint)


_REMEDIES = {
    "torch": "run `make setup`, which installs the versions that are tested together",
    "torchaudio": "run `make setup`: it matches torchaudio to torch and to this machine's CUDA",
    "ray": "see that the cluster runs, that --address is its address, and that both sides have "
    "the same RAY_AUTH_MODE and token",
    "job server": "see that the head runs and that its port 8265 is open to this machine",
    "model": "`uniaudio2 inspect MODEL` tells what its folder lacks",
    "storage": "check the address, the endpoint (AWS_ENDPOINT_URL), the credentials and the "
    "permissions to list, read, write and delete",
}


def run_checks(model: str | None, storages: list[str], address: str | None) -> Iterator[Check]:
    """Run every check; one that raises counts as failed."""
    takes_jobs = (address or "").lower().startswith(("http://", "https://"))
    checks: list[tuple[str, Callable[[], Check | list[Check]]]] = [
        ("python", check_python),
        *MACHINE,
        *NETWORK,
        *OPTIONAL,
        ("torch", check_torch),
        ("torchaudio", check_torchaudio),
        ("ray", lambda: check_ray(None if takes_jobs else address)),
        ("model", lambda: check_model(model)),
    ]
    if address is not None:
        checks.insert(-1, ("job server", lambda: check_job_server(address)))
    checks += [("storage", lambda uri=uri: check_storage(uri)) for uri in storages]  # type: ignore[misc]
    for name, check in checks:
        try:
            found = check()
            yield from found if isinstance(found, list) else [found]
        except Exception as fault:  # whatever is broken, the other checks are still of use
            said = " ".join(f"{type(fault).__name__}: {fault}".split())
            yield Check(name, said, _REMEDIES.get(name, "see the message"))


def doctor(
    model: Annotated[str | None, typer.Option(help="bundled model or model folder")] = None,
    storage: Annotated[
        list[str] | None,
        typer.Option(help="folder or URL to write to and read from (repeatable)"),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join")] = None,
) -> int:
    """Check this machine, torch, Ray, the model and storage; say what to do where one is odd."""
    from pipelines.config.own_addresses import check_place

    for what, uri in (("--model", model), *(("--storage", uri) for uri in storage or ())):
        check_place(what, uri or "")
    wrong = count = 0
    for check in run_checks(model, storage or [], address):
        say(f"{'ok' if check.passed else 'FAILED':<7}{check.name:<11}{shown(check.found, _FOUND)}")
        count += 1
        wrong += not check.passed
        if check.remedy or check.hint:
            say(f"{'':<18}-> {shown(check.remedy or check.hint, _FOUND)}")
    say("all checks passed" if not wrong else f"{wrong} of {count} checks failed")
    return EXIT_CHECKS_FAILED if wrong else 0
