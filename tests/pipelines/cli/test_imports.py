"""What a command imports before it answers: nothing large, whatever was misspelt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.committed import make_output

LARGE = ("torch", "torchaudio", "transformers", "ray", "pyarrow", "numpy", "pandas", "jiwer")
_ASK = """
import atexit, json, sys
large, sys.argv[1:2] = sys.argv[1], []
atexit.register(lambda: print(json.dumps([n for n in large.split(",") if n in sys.modules])))
from pipelines.cli import main
main()
"""


def large_modules(*words: str) -> tuple[int, list[str], str]:
    """Exit code of a command, the large modules that it has imported at its end, and its output."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, ",".join(LARGE), *words], capture_output=True, text=True,
        timeout=120, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0), ("--version", 0), ("", 0), ("run --help", 0), ("tasks", 0), ("tasks asr", 0),
        ("status {out}", 0), ("status /nope", 2), ("run asr --bogus", 2), ("doctr", 2),
        ("tasks nope", 2), ("run nope {in} {new}", 2), ("run asr /nope {new}", 2),
        ("run asr {in} {new} --set sampling.topk=3", 2), ("run asr {in} {in}", 2),
        ("run asr {in} {new} --set sampling.top_k=x", 2), ("run asr {in} {new} --until decod", 2),
        ("run asr {in} {new} --model nope", 2), ("run asr {in} {new} --config /nope.yaml", 2),
        ("run asr {in} {new} --set prompts=/nope.json", 2), ("retry /nope", 2),
        ("report /nope", 2), ("export /nope /x --format pt", 2), ("inspect /nope", 2),
        ("convert /nope /x", 2),
    ],
)  # fmt: skip
def test_nothing_large_is_imported_before_a_command_has_looked(
    tmp_path: Path, words: str, code: int
) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a", "text": "hello"}\n')
    out = str(tmp_path / "out")
    if "{out}" in words:
        make_output(out, "text_only", [{"id": "a", "text": "hi"}], texts=["hi"])
    places = {"in": tmp_path / "m.jsonl", "new": tmp_path / "new", "out": out}
    found, large, said = large_modules(*words.format(**places).split())
    assert found == code, said
    assert large == []
    assert not (tmp_path / "new").exists()


def test_a_run_imports_them() -> None:
    """The list can fail."""
    ask = _ASK.replace("main()\n", "import pyarrow\nmain()\n")
    words = [sys.executable, "-c", ask, ",".join(LARGE), "--version"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert "pyarrow" in json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("executor", ["process", pytest.param("ray", marks=pytest.mark.nightly)])
def test_a_driver_multiplies_nothing(tmp_path: Path, executor: str) -> None:
    """Plans, commits and the report: torch, and 150 MB of it, is for those that run the model."""
    (tmp_path / "texts.txt").write_text("yes\nno\n")
    words = f"run tts {tmp_path}/texts.txt {tmp_path}/out --model tiny --executor {executor}"
    found, large, said = large_modules(*words.split(), "--quiet")
    assert found == 0, said
    assert "pyarrow" in large
    assert not {"torch", "torchaudio", "transformers"} & set(large)
    assert (tmp_path / "out/report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    "module",
    ["actors.stages.load", "actors.stages.write", "actors.stages.pools", "pipelines.jobs.run",
     "pipelines.jobs.retry", "pipelines.executor.ray_executor", "pipelines.report"],
)  # fmt: skip
def test_what_multiplies_nothing_imports_no_torch(module: str) -> None:
    ask = f"import sys, {module}; sys.exit('torch' in sys.modules or 'torchaudio' in sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", ask], timeout=120, cwd=root).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run asr {in} {new} --config /nope.yaml", "config /nope.yaml: No such file or directory"),
        ("run asr {in} {new} --max-errors 5x", "error: max_errors: '5x' must be a number of rows"),
        ("run asr {in} {new} --set sampling.topk=3", "sampling: unknown key 'topk'; did you mean"),
        ("export {in} {new} --format ptt", "'--format': 'ptt' is not one of"),
    ],
)
def test_messages_keep_the_inside_to_themselves(tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a", "text": "hello"}\n')
    places = {"in": tmp_path / "m.jsonl", "new": tmp_path / "new"}
    _, _, told = large_modules(*words.format(**places).split())
    assert said in told
    for inside in ("Errno", "Value error", "SamplingOptions", "max_errors 'max_errors"):
        assert inside not in told
