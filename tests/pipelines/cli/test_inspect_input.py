"""``uniaudio2 inspect`` tells an INPUT from a model, quickly and without harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.inspect_input import is_input, show_input
from pipelines.errors import UsageError
from uniaudio2.checkpoint.folders import BUNDLED

_WITHOUT_TORCH = """
import sys
for name in ("torch", "ray", "torchaudio"):
    sys.modules[name] = None  # an import of it fails
from pipelines.cli import main
sys.argv = ["uniaudio2", "inspect", *sys.argv[1:]]
main()
"""


def test_a_look_needs_neither_torch_nor_ray(tmp_path: Path) -> None:
    """They take longer to import than a manifest of a million rows takes to look at."""
    path = tmp_path / "a.csv"
    path.write_text("path,sentence\na.wav,hello\n")
    command = [sys.executable, "-c", _WITHOUT_TORCH, str(path), "--map", "audio=path", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["event"] == "input" and facts["rows"] == 1
    assert facts["columns"][0] == {"name": "path", "kind": "string", "use": "audio"}


def test_models_and_inputs_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "published").mkdir()
    (tmp_path / "published/llm_config.yaml").write_text("")
    (tmp_path / "a.wav").write_bytes(b"")
    for given in ("rows", "a.wav"):
        assert is_input(str(tmp_path / given))
    assert is_input("absent.jsonl") and is_input("data/*.wav")
    assert is_input("hf://datasets/a/b/data")
    for model in ("nano", "absent", str(BUNDLED / "nano"), str(tmp_path / "published")):
        assert not is_input(model)


def test_an_output_is_named_with_what_tells_of_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"uniaudio2 status .* INPUT by the name of .*/data"):
        is_input(str(tmp_path))


def test_what_is_shown_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "a", "text": "\x1b[2Jgone", "\x1b[31mred": "https://u:secret@host/x"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\nbroken\n")
    show_input(str(tmp_path / "a.jsonl"))
    told = capsys.readouterr().out
    assert "\x1b" not in told and "secret" not in told
    for line in ("rows        2\n", "unreadable  1 of the rows", "string: text", "JSON lines"):
        assert line in told
    show_input(str(tmp_path / "a.jsonl"), as_json=True)
    told = capsys.readouterr().out
    assert "\x1b" not in told and "secret" not in told
    assert json.loads(told)["first_row"]["text"] == "\x1b[2Jgone"


def test_settings_of_the_input_are_heeded_and_others_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("x;y\n1;b\n")
    show_input(str(tmp_path / "a.csv"), ("manifest.delimiter=;", "manifest.header=[text,b]"))
    assert "text  " in capsys.readouterr().out
    for sets, message in (
        (("sampling.top_k=3",), "inspect looks at INPUT alone"),
        (("manifest.delimitre=;",), "did you mean 'delimiter'"),
    ):
        with pytest.raises(UsageError, match=message):
            show_input(str(tmp_path / "a.csv"), sets)
