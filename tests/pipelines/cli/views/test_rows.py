from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from pipelines import JobConfig, run_job
from pipelines.cli.views.rows import find_row, picture, rows_of, show_first, show_row
from pipelines.errors import UsageError
from pipelines.progress.terminal import Terminal
from tests.pipelines.committed import make_output


def shown(call: object, *given: object) -> str:
    file = io.StringIO()
    call(*given, terminal=Terminal(file=file, width=100))  # type: ignore[operator]
    return file.getvalue()


@pytest.fixture
def texts(tmp_path: Path) -> str:
    rows = [{"id": f"row-{number}", "text": "in"} for number in range(5)]
    answers = [f"answer {number}" for number in range(5)]
    return make_output(str(tmp_path / "texts"), "text_only", rows, texts=answers)


def test_texts_are_told(texts: str) -> None:
    said = shown(show_first, texts, 3)
    assert "answer 2" in said
    assert "answer 3" not in said
    row = find_row(texts, "row-4")
    assert row is not None
    assert "answer 4" in shown(show_row, texts, row)
    assert find_row(texts, "row-9") is None


def test_segments_stand_in_lines_of_their_own_and_words_nowhere(tmp_path: Path) -> None:
    words = [{"start_s": 0.25, "end_s": 0.5, "word": "hi", "confidence": 1.0}]
    out = make_output(str(tmp_path / "out"), "asr", [{"id": "a", "audio": "a.wav"}],
                      [torch.zeros(24_000)], ["hi"], words=[words])  # fmt: skip
    said = shown(show_row, out, next(rows_of(out)))
    assert "0.25 to 0.50 s  hi" in said
    assert "confidence" not in said


def test_a_manifest_s_own_columns_of_these_names_are_told(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "in", "words": [1, 2], "segments": "mine"}]
    out = make_output(str(tmp_path / "out"), "text_only", rows, texts=["hi"])
    said = shown(show_row, out, next(rows_of(out)))
    assert "[1, 2]" in said
    assert "mine" in said


def test_sounds_are_told_by_their_path_and_length(tmp_path: Path) -> None:
    out = make_output(str(tmp_path / "out"), "tts", [{"id": "a", "text": "hi"}],
                      [torch.zeros(24_000)])  # fmt: skip
    row = next(rows_of(out))
    (path,) = row.sounds
    assert Path(out, path).is_file()
    assert f"{out}/{path}  1.00 s" in shown(show_first, out)


def test_tokens_are_counted_and_drawn(tmp_path: Path) -> None:
    out = make_output(str(tmp_path / "out"), "tokenize", [{"id": "a", "audio": "/no/a.wav"}],
                      [torch.zeros(24_000)])  # fmt: skip
    row = next(rows_of(out))
    assert len(row.codes.reason)
    assert "reasoning frame" in shown(show_first, out)
    said = shown(show_row, out, row)
    assert "reconstruction: " in said
    assert any(shade in said for shade in "░▒▓█")


def test_pictures() -> None:
    assert picture([[0, 1, 2, 3], [3, 3, 3, 3]]) == ["░▒▓█", "████"]
    assert picture([[0] * 200])[0] == "░" * 90 + "…"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no run\.json"):
        list(rows_of(str(tmp_path)))


def test_rows_that_failed_say_why(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a", "text": "hi"}\n{"id": "b", "text": " "}\n')
    given = {"task": "text_only", "model": "tiny", "executor": "inline"}
    out, source = str(tmp_path / "out"), str(tmp_path / "m.jsonl")
    run_job(JobConfig(**given, input=source, output=out, sampling={"max_frames": 5}))
    said = shown(show_first, out)
    assert "b  failed: empty_text: column 'text'" in said
    row = find_row(out, "b")
    assert row is not None
    assert "empty_text" in shown(show_row, out, row)
