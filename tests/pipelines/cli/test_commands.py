"""The command line as a user meets it: exit codes, and one clear line for a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.commands import main

CLI = [sys.executable, "-c", "from pipelines.cli.commands import main; main()"]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "asrr", "{in}", "{out}"], "unknown task 'asrr'; did you mean 'asr'"),
        (["run", "tts", "{in}", "{out}", "--set", "sampling.topk=3"], "did you mean 'top_k'"),
        (["run", "tts", "{in}", "{out}", "--modle", "tiny"], "--modle"),
        (["run", "tts", "{in}", "{out}", "--model", "tinny"], "did you mean 'tiny'"),
        (["run", "tts", "{in}", "{out}", "--set", "sampling.top_k=9999"], "top_k 9999"),
        (["run", "tts", "{in}", "{out}", "--set", "sampling.max_frames=4"], "at least 5 for audio"),
        (["run", "tts", "/not/there.parquet", "{out}"], "no such file"),
        (["run", "asr", "{in}", "{out}"], "column 'audio'"),
        (["status", "{out}"], "no run.json"),
        (["report", "{out}"], "no run.json"),
        (["retry", "{out}"], "no run.json"),
        (["retry", "{out}", "--set", "nothing"], "no run.json"),
        (["inspect", "nothing"], "neither bundled nor a folder"),
        (["convert", "{in}", "{out}"], "is not a folder"),
        (["convert", "{half}", "{out}"], "lacks llm_config.yaml"),
        (["convert", "{half}", "{out}", "--dtype", "int8"], "'int8' is not one of"),
        (["run", "tts", "{in}", "{out}", "--model", "{half}"], "lacks llm_config.yaml"),
        (["run", "tts"], "Missing argument"),
        (["run", "tts", "weird://in.jsonl", "{out}"], "Protocol not known: weird"),
        (["run", "tts", "{in}", "weird://out"], "Protocol not known: weird"),
        (["run", "tts", "{in}", "{in}/out"], "lies inside INPUT"),
        (["run", "tts", "{in}", "/proc/nothing/out"], "cannot be written"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    (tmp_path / "in.txt").write_text("hello\n")
    (tmp_path / "half").mkdir()
    (tmp_path / "half/sqcodec.pth").touch()
    places = {name: str(tmp_path / name) for name in ("out", "half")}
    places["in"] = str(tmp_path / "in.txt")
    filled = [argument.format(**places) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["uniaudio2", *filled])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_this_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello\n")
    result = cli(
        "run", "tts", str(tmp_path / "in.txt"), str(tmp_path / "out"),
        "--set", "generate.num_cpus=500",
    )  # fmt: skip
    assert result.returncode == 2
    assert "the pools need" in result.stderr


def test_tasks_and_inspect() -> None:
    listing = cli("tasks").stdout
    assert "tokenize" in listing
    assert "ASR" in cli("tasks", "asr").stdout
    shown = cli("inspect", "tiny").stdout
    assert "no: its output means nothing" in shown
    assert "12.5 Hz" in shown


def test_inspect_tells_what_a_published_folder_lacks(tmp_path: Path) -> None:
    (tmp_path / "sqcodec.pth").touch()
    shown = cli("inspect", str(tmp_path)).stdout
    assert "uniaudio2 convert" in shown
    assert "MISSING: MusicFM" in shown


def test_json_lines_and_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "hi"}\n{"id": "b", "text": " "}\n')
    result = cli(
        "run", "tts", str(tmp_path / "in.jsonl"), str(tmp_path / "out"), "--json",
        "--model", "tiny", "--set", "sampling.max_frames=20",
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "end"
    assert (events[-1]["ok"], events[-1]["errors"], events[-1]["exit_code"]) == (1, 1, 3)
    assert events[-1]["kinds"] == {"empty_text": 1}
    assert events[-1]["next"] == f"uniaudio2 retry {tmp_path}/out"
    progress = [event for event in events if event["event"] == "progress"]
    assert [stage["name"] for stage in progress[-1]["stages"]] == [
        "load", "generate", "decode", "write",
    ]  # fmt: skip
    assert result.stderr == ""  # Ray's own chatter is not ours
    status = json.loads(cli("status", str(tmp_path / "out"), "--json").stdout)
    assert (status["ok"], status["errors"], status["left"]) == (1, 1, 0)
    (tmp_path / "out/report.html").unlink()
    assert cli("report", str(tmp_path / "out")).stdout == f"{tmp_path}/out/report.html\n"
    assert (tmp_path / "out/report.html").exists()
