"""What of this machine decides how much can be run, and what is of use though no run needs it: each
is a row of `OPTIONAL`, and says what it is for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from actors.storage.model_hub import cache_folder
from pipelines.cli.checks.check import Check
from pipelines.cli.checks.machine import free_in
from pipelines.config.scored import how_to_install
from uniaudio2.scores.spec import installed
from uniaudio2.scores.table import SCORERS

_LITTLE_BYTES = 4 << 30
_FORMATS = {
    "datasets": "export and INPUT of saved Hugging Face datasets",
    "lhotse": "INPUT and export of its manifests and shar",
    "webdataset": "checking exported shards with its own reader",
}
_SCORES = ("onnxruntime", "silero-vad", "speechmos", "resemblyzer")
_MEMORY = Path("/proc/meminfo")


def check_ram(facts: Path = _MEMORY) -> Check:
    """There is memory for the model and for what is read at once."""
    try:
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines())
        total, free = (int(lines[name].split()[0]) << 10 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return Check("ram", "not told by this system")
    found = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB, for models and rows in work"
    if free >= _LITTLE_BYTES:
        return Check("ram", found)
    hint = (
        "nano needs about 1 GB for a few rows and 3 GB with Ray: end what else takes memory, or "
        "give a container more"
    )
    return Check("ram", found, hint=hint)


def check_disk() -> Check:
    """There is room for results here, and for models in the cache."""
    here, little = free_in(os.getcwd())
    cache = cache_folder()
    home = next((path for path in (cache, *cache.parents) if path.is_dir()), Path("/"))
    kept, also = free_in(str(home))
    found = f"{here} in this folder, for results; {kept} at {cache}, for models of hubs and stores"
    hint = "make room, or set UNIAUDIO2_CACHE to a larger disk" if little or also else ""
    return Check("disk", found, hint=hint)


def check_formats() -> Check:
    """Packages of other toolkits, which formats of theirs need."""
    there, missing = [], []
    for name, use in _FORMATS.items():
        try:
            there.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(f"{name} ({use})")
    found = ", ".join(there) or "none of them is installed"
    if not missing:
        return Check("formats", found)
    hint = f"without {', '.join(missing)}: `pip install 'uniaudio2-batch[formats]'`, if wanted"
    return Check("formats", found, hint=hint)


def check_scores() -> Check:
    """Packages with the models that judge speech and its quality."""
    there = [f"{name} {found}" for name in _SCORES if (found := installed(name))]
    found = ", ".join(there) or "none of them is installed"
    without = [scorer for scorer in SCORERS.values() if scorer.missing]
    if not without:
        return Check("scores", found)
    names = ", ".join(scorer.name for scorer in without)
    packages = list(dict.fromkeys(name for scorer in without for name in scorer.missing))
    hint = f"without scorers {names}: `{how_to_install(packages)}`, if wanted"
    return Check("scores", found, hint=hint)


def check_espeak() -> Check:
    """The voice that nano learnt from, to make speech that it understands."""
    path = shutil.which("espeak-ng")
    use = "speaks the texts that nano is trained on and tested with"
    if path:
        return Check("espeak-ng", f"{path}: {use}")
    hint = f"it {use}; no run needs it (`apt-get install espeak-ng`, `brew install espeak-ng`)"
    return Check("espeak-ng", "not installed", hint=hint)


OPTIONAL: tuple[tuple[str, Callable[[], Check]], ...] = (
    ("ram", check_ram),
    ("disk", check_disk),
    ("formats", check_formats),
    ("scores", check_scores),
    ("espeak-ng", check_espeak),
)
