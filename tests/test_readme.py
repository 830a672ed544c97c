"""Every command that README and pages show is one that the command line knows; cheap ones run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import typer.main

from pipelines.cli.commands import app, main
from pipelines.config.make_job import make_job
from pipelines.export.timed.files import TIMED_FORMATS
from tests.pipelines.committed import make_output
from tests.support.commands import check_parses, joined_lines, of_uniaudio2
from tests.support.documents import PAGES, anchor, headings

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r"`(?:--set )?([a-z_]+(?:\.[a-z_]+)?=(?=[^`]*[\w\x22])[^`\s]+)`")
OF_OTHERS = {"ray", "stores"}  # pages that name settings of others
_FILE = re.compile(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _commands(start: str) -> list[str]:
    """Lines of the pages' shell blocks that begin with `start`, each once."""
    blocks = [block for page in PAGES for block in _FENCE.findall(page.read_text())]
    lines = [line for block in blocks for line in joined_lines(block.splitlines())]
    return [*dict.fromkeys(line for line in lines if line.startswith(start))]


UNIAUDIO2 = _commands("uniaudio2 ")
CHEAP = [c for c in UNIAUDIO2 if c.split()[1] in ("tasks", "inspect") and "://" not in c]


@pytest.fixture(autouse=True)
def files_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed where the pages' YAML files are: those that begin with their name."""
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        for name, text in _FILE.findall(page.read_text()):
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
    words = shlex.split(command.replace("pipelines/examples", f"{ROOT}/pipelines/examples"))
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0


@pytest.mark.parametrize("command", [c for c in UNIAUDIO2 if c.split()[1] == "export"])
def test_exports_run(command: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word.replace("s3://bucket", bucket) for word in shlex.split(command)]
    # its results have codes, text and audio, or times, so every format can hold them
    rows, waves = [{"id": "a", "text": "x"}], [torch.zeros(2400)]
    if words[words.index("--format") + 1] in TIMED_FORMATS:
        said = [{"start_s": 0.0, "end_s": 0.1, "word": "x", "confidence": 0.5}]
        make_output(words[2], "asr", rows, waves, ["x"], words=[said])
    else:
        make_output(words[2], "detokenize", rows, waves)
    before = [["uniaudio2", "dedup", words[2], words[-1]]] if "--without" in words else []
    for arguments in (*before, words):
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in _commands("make "):
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), command


def test_settings_that_are_named_exist() -> None:
    """What is said to be given with ``--set``, also outside of whole commands."""
    named = {
        assignment
        for page in PAGES
        if page.stem not in OF_OTHERS
        for assignment in _SETTING.findall(page.read_text())
    }
    assert len(named) > 8
    for assignment in sorted(named - {"key=value"}):
        make_job({"task": "asr", "input": "in", "output": "out"}, None, (assignment,))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        page = path.parent / name if name else path
        assert page.exists(), target
        assert not heading or heading in {anchor(title) for title in headings(page)}, target
