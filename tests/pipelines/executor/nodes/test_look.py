"""What a node sees of itself, looked at here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.executor.nodes import look as looking
from pipelines.executor.nodes.compare import CODE, PACKAGES
from pipelines.executor.nodes.look import Look, Question, code_hash, file_mark, look, size_of


def test_disks_models_and_versions_are_looked_at(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"four")
    paths = (str(there), str(tmp_path), str(tmp_path / "gone"))
    question = Question(
        CODE, PACKAGES, paths, model=str(tmp_path), model_files=("there", "none"),
        asked=str(there), says="four", answer=str(tmp_path / "answer"),
    )  # fmt: skip
    begun = time.time()
    seen = Look(*look(tuple(question)))
    assert seen.sizes == {str(there): 4, str(tmp_path): 0, str(tmp_path / "gone"): None}
    assert seen.model["there"].startswith("4:")
    assert seen.model["none"] == ""
    assert (seen.output_fault, seen.model_fault) == ("", "")
    assert (tmp_path / "answer").read_text() == "four"
    assert set(seen.versions) == {*PACKAGES, "python"}
    assert seen.versions["torch"]
    assert {"output", "tmp"} <= set(seen.free_bytes)
    assert seen.memory_bytes > 1 << 20
    assert begun <= seen.clock_s <= time.time()


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(asked="{}/gone"), "what this machine wrote is not there"),
        (Question(asked="{}/other", says="mine"), "something else there"),
        (Question(asked="{}/other/below"), "Not a directory"),
        (Question(asked="{}/other", answer="{}/no/answer"), "is not there"),
    ],
)
def test_an_output_that_is_another_folder(tmp_path: Path, question: Question, words: str) -> None:
    (tmp_path / "other").write_text("another's")
    asked, answer = (text.format(tmp_path) for text in (question.asked, question.answer))
    seen = Look(*look(tuple(question._replace(asked=asked, answer=answer))))
    assert words in seen.output_fault


def test_the_hash_is_that_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package_of_ours"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    first = code_hash((package.name,))
    (package / "notes.txt").write_text("not code")
    assert code_hash((package.name,)) == first != ""
    (package / "config.json").write_text("{}")
    assert code_hash((package.name,)) != first
    assert code_hash((package.name, "no_such_package_of_ours")) == ""


def test_a_beginning_and_a_size_are_the_mark_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"a" * 10)
    mark = file_mark(str(file))
    file.write_bytes(b"b" + b"a" * 9)
    assert file_mark(str(file)) != mark


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"a")
    file.chmod(0)
    assert size_of(str(file)) is None


def test_it_needs_nothing_of_ours() -> None:
    """It is sent to nodes where our code may be missing."""
    code = Path(looking.__file__).read_text()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code + "\nprint(look(Question(code=('actors',)))[1])"],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "\n"
