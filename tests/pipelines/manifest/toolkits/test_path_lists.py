"""Lists of paths, and GPT-SoVITS's with what is spoken."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.batch.names import FAULT_COLUMN
from pipelines.config.input_settings import ManifestConfig
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import TextFile
from pipelines.manifest.toolkits.path_lists import list_kind, parse_paths, parse_spoken
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task


def test_what_a_list_holds_is_told_by_its_first_line() -> None:
    for line, kind in (
        ('\n{"key": "a"}', "objects"),
        ("a.wav|ann|en|Hello, you.", "spoken"),
        ("/shards/0.tar", "tars"),
        ("my sounds/a b.flac\n", "paths"),
        ("a.wav|ann|Hello", None),
        ("anything", None),
        ("", None),
    ):
        assert list_kind(TextFile.of(line.encode())) == kind


def test_lines_of_gpt_sovits() -> None:
    rows = parse_spoken("output/a.wav|ann|ZH|你好。\nb.wav|ann|EN\n".encode()).to_pylist()
    assert rows[0] == {
        "id": "output/a.wav", "audio": "output/a.wav", "speaker": "ann", "language": "ZH",
        "text": "你好。", FAULT_COLUMN: None,
    }  # fmt: skip
    assert rows[1]["id"] == "line-2"
    assert "3 cells; a line is audio|speaker|language|text" in rows[1][FAULT_COLUMN]


def test_a_list_of_gpt_sovits_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "slicer_opt.list").write_text("a.wav|ann|en|Hello.\n")
    plan = make_plan(str(tmp_path / "slicer_opt.list"), get_task("asr"))
    assert plan.schema.names == ["id", "audio", "speaker", "language", "text"]
    assert "GPT-SoVITS" in plan.notes[0]


def test_lines_that_are_paths() -> None:
    rows = parse_paths(b"a b.wav\r\n\n/c.flac \n").to_pylist()
    assert rows == [{"id": "a b.wav", "audio": "a b.wav"}, {"id": "/c.flac", "audio": "/c.flac"}]


def test_the_format_is_given_or_named_where_it_would_serve(tmp_path: Path) -> None:
    (tmp_path / "files.txt").write_text("a.wav\nsub/b.mp3\n")
    (tmp_path / "scp").write_text("a\nsub/b\n")
    uri, tokenize = str(tmp_path / "files.txt"), get_task("tokenize")
    with pytest.raises(UsageError, match="its lines are paths of audio: --format paths"):
        make_plan(uri, tokenize)
    as_paths = ManifestConfig(format="paths")
    for name in ("files.txt", "scp", "*.txt"):
        plan = make_plan(str(tmp_path / name), tokenize, manifest=as_paths)
        assert (plan.rows, plan.schema.names) == (2, ["id", "audio"])
    (tmp_path / "sub").mkdir()
    elsewhere = ManifestConfig(format="paths", base=str(tmp_path / "sub"))
    assert make_plan(uri, tokenize, manifest=elsewhere).units[0].base == str(tmp_path / "sub")
    with pytest.raises(UsageError, match="about the lines of a file"):
        make_plan(str(tmp_path), tokenize, manifest=as_paths)
    (tmp_path / "words.txt").write_text("a.wav\nwords\n")
    with pytest.raises(UsageError) as caught:
        make_plan(str(tmp_path / "words.txt"), tokenize)
    assert "--format" not in str(caught.value)


def test_lists_of_files_by_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "train.lst").write_text("a.wav\nb.wav\n")
    (source,) = find_sources(str(tmp_path / "train.lst"))
    assert (source.rows, source.base) == (2, str(tmp_path))
    (tmp_path / "other.list").write_text("what is this\n")
    with pytest.raises(UsageError, match=r"its first line is no JSON object.*--format paths"):
        find_sources(str(tmp_path / "other.list"))
    assert find_sources(str(tmp_path / "other.list"), Scan(format="paths"))[0].rows == 1
