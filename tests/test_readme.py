"""Every command that the README shows is one that the command line knows; cheap ones are run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import typer.main

from pipelines.cli.commands import app, main
from pipelines.config.job import make_job
from tests.commands import check_parses, joined_lines, of_uniaudio2
from tests.pipelines.committed import make_output

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _commands(start: str) -> list[str]:
    """Lines of the README's shell blocks that begin with `start`."""
    blocks = _FENCE.findall((ROOT / "README.md").read_text())
    lines = [line for block in blocks for line in joined_lines(block.splitlines())]
    return [line for line in lines if line.startswith(start)]


UNIAUDIO2 = _commands("uniaudio2 ")
CHEAP = [c for c in UNIAUDIO2 if c.split()[1] in ("tasks", "inspect") and "://" not in c]


@pytest.fixture(autouse=True)
def files_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed where the README's YAML files are: those that begin with their name."""
    monkeypatch.chdir(tmp_path)
    for name, text in _FILE.findall((ROOT / "README.md").read_text()):
        Path(name).write_text(text)


def test_there_are_commands_of_every_kind() -> None:
    shown = {shlex.split(command)[1] for command in UNIAUDIO2}
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert shown <= set(commands)
    assert {"run", "status", "tasks", "inspect", "convert", "export", "doctor"} <= shown


@pytest.mark.parametrize("command", UNIAUDIO2)
def test_the_command_line_knows_it(command: str) -> None:
    words = shlex.split(command)
    check_parses(words)
    if words[1] == "run":
        given = of_uniaudio2(words)
        names = {"task": given["task"], "input": given["source"], "output": given["output"]}
        config = given["config"] and str(ROOT / given["config"])
        make_job(names, config, tuple(given["sets"] or ()))


def test_an_option_that_is_none_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        check_parses(["uniaudio2", "run", "asr", "in", "out", "--modle", "nano"])


@pytest.mark.parametrize("command", CHEAP)
def test_the_cheap_ones_run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0


@pytest.mark.parametrize("command", [c for c in UNIAUDIO2 if c.split()[1] == "export"])
def test_exports_run(command: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word.replace("s3://bucket", bucket) for word in shlex.split(command)]
    # its results have codes, text and audio, so every format can hold them
    make_output(words[2], "detokenize", [{"id": "a", "text": "x"}], [torch.zeros(2400)])
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in _commands("make "):
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), command


@pytest.mark.parametrize("path", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_lead_somewhere(path: str) -> None:
    text = (ROOT / path).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (ROOT / path).parent.joinpath(target).exists(), target
