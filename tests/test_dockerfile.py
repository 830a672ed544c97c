"""What the image copies is there, and what it runs is what `make setup` and the package say."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.M)).splitlines()
STEPS = [line.split(None, 1) for line in LINES if line.strip()]
PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text())


def of(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]


def test_the_base_is_pinned_to_a_version_that_the_package_takes() -> None:
    (base,) = of("FROM")
    version = re.fullmatch(r"python:(3\.\d+\.\d+)-slim-bookworm", base)
    assert version
    assert tuple(map(int, version[1].split("."))) >= (3, 11)


def test_everything_that_is_copied_is_there_and_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if "!" in line}
    copied = {name for line in of("COPY") for name in shlex.split(line)[:-1]}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    packages = PACKAGE["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*.") for name in packages} <= copied


def test_every_package_is_pinned_and_torch_goes_first() -> None:
    installs = [line for line in of("RUN") if "pip install" in line]
    assert all("-c constraints.txt" in line for line in installs)
    assert installs[0].rstrip().endswith("torch")
    extras = set(re.findall(r"\.\[([\w,]+)\]", installs[1])[0].split(","))
    assert extras <= set(PACKAGE["project"]["optional-dependencies"])


def test_it_starts_the_command_as_another_user_than_root() -> None:
    assert of("USER") == ["uniaudio2"]
    assert of("ENTRYPOINT") == ['["uniaudio2"]']
    assert "uniaudio2" in PACKAGE["project"]["scripts"]


def test_what_cannot_be_loaded_without_cuda_is_removed_as_make_does() -> None:
    made = (ROOT / "Makefile").read_text()
    for words in ("torch.version.cuda", "_torchaudio*.so"):
        assert any(words in line for line in of("RUN"))
        assert words in made
