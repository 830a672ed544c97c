"""The pages are built without a warning, hold what they promise, and name what there is."""

from __future__ import annotations

import ast
import builtins
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors.batch.schema import ALWAYS
from pipelines.executor.stages import stage_columns
from tests.support.documents import PAGES, sections, table_rows
from tests.test_rooms import ORDER
from uniaudio2.tasks.table import get_task

ROOT = Path(__file__).parents[1]
PACKAGES = ("uniaudio2", "actors", "pipelines", "tests", "benchmarks")
FOLDERS = (*PACKAGES, "docs", "configs", "findings", "notebooks")
# classes that pages name and others define
OF_OTHERS = {
    "ActorDiedError", "ActorPoolStrategy", "ActorUnavailableError", "AutoscalingCluster",
    "BackpressurePolicy", "CheckpointConfig", "Config", "CopyObject", "CutSet", "DataContext",
    "DeleteObject", "ExecutionTimeoutError", "NodeDiedError", "Parquet", "RayError", "Ray",
    "RayTaskError", "ReasoningCodec_1024", "RuntimeError", "SystemExit", "WebDataset",
    "InstructTTS", "MissingContentMD5", "Yue_TTS",
}  # fmt: skip
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_FENCES = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_pages_are_built(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    pages = {path.stem: path.read_text() for path in tmp_path.glob("*.html")}
    for page, names in {
        "runs": ("pipelines.jobs.run.run_job", "pipelines.config.job.JobConfig", "unit_rows"),
        "model": ("uniaudio2.entrypoints.model.UniAudio2.encode", "uniaudio2.tokens.codes.Codes"),
        "export": ("pipelines.export.export.export_run",),
    }.items():
        for name in names:
            assert name in pages[page], (page, name)
    served = [line for text in pages.values() for line in text.split('src="')[1:]]
    assert not [line[:60] for line in served if line.startswith("http")]


@functools.cache
def definitions() -> dict[str, set[str]]:
    """Names of all classes with their members, and under "" those of functions and constants."""
    found: dict[str, set[str]] = {"": set()}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found[""].add(node.name)
                elif isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, set()).update(members_of(node))
                elif isinstance(node, ast.Assign | ast.AnnAssign):
                    found[""].update(assigned(node))
    return found


def assigned(node: ast.stmt) -> set[str]:
    """Names that a statement gives a value."""
    return {
        one.id if isinstance(one, ast.Name) else one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Name | ast.Attribute) and isinstance(one.ctx, ast.Store)
    }


def members_of(node: ast.ClassDef) -> set[str]:
    """Methods, fields and attributes of a class."""
    names = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    for one in ast.walk(node):
        if isinstance(one, ast.Assign | ast.AnnAssign):
            names |= assigned(one)
    return names


def is_there(path: str) -> bool:
    """Whether a path of the repository exists; a pattern must match something."""
    path, _, name = path.replace("NAME", "*").partition("::")
    if any(sign in path for sign in "*[") and not name:
        return any(ROOT.glob(path))
    found = ROOT / path
    return found.exists() and (not name or name in found.read_text())


def is_dotted(name: str) -> bool:
    """Whether a dotted name is a module, or what one defines."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        module = ROOT.joinpath(*parts[:size])
        path = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
        if path.is_file():
            known = definitions()
            rest = parts[size:]
            if not rest:
                return True
            owner = known.get(rest[0], set()) if len(rest) > 1 else {*known[""], *known}
            return rest[-1] in owner and rest[0] in path.read_text()
    return False


def unknown(word: str) -> str | None:
    """What a word in code type names that is not there; None where all is well, or it is no name.

    Names are paths, dotted names, classes, their members, and functions with their brackets.
    """
    known = definitions()
    first = re.split(r"[/.]", word)[0]
    if re.fullmatch(r"[\w.*/\[\]-]+(::\w+)?", word) and first in FOLDERS and "/" in word:
        return None if is_there(word) else word
    if re.fullmatch(r"(test_)\w+\.py", word):
        return None if any(ROOT.glob(f"tests/**/{word}")) else word
    if re.fullmatch(r"\w+(\.\w+)+", word) and first in PACKAGES:
        return None if is_dotted(word) else word
    if match := re.fullmatch(r"([a-z_]\w*)\(\)", word):
        return None if match[1] in known[""] or hasattr(builtins, match[1]) else word
    if match := re.fullmatch(r"([A-Z][A-Za-z0-9]*[a-z]\w*)(?:\.([a-z_]\w*))?(?:\(\))?", word):
        name, member = match.groups()
        if name in OF_OTHERS or hasattr(builtins, name):
            return None
        if not member:
            return None if name in known or name in known[""] else word
        return None if member in known.get(name, ()) else word
    if re.fullmatch(r"_?[A-Z][A-Z_]{3,}", word) and not word.startswith(OF_ENVIRONMENT):
        return None if word in known[""] or word in OF_READERS else word
    return None


OF_ENVIRONMENT = ("AWS_", "GOOGLE_", "AZURE_", "HF_", "RAY_", "GOLDEN_")
OF_READERS = {"INPUT", "OUTPUT", "MODEL", "NAME", "FORMAT", "PATH", "PYTHONPATH", "TMPDIR"}
"""Words that stand for what a reader gives, and variables of the environment."""


# the change log also names what is gone
@pytest.mark.parametrize(
    "path", [page for page in PAGES if page.stem != "CHANGELOG"], ids=lambda path: path.name
)
def test_what_is_named_exists(path: Path) -> None:
    text = _FENCES.sub("", path.read_text())
    assert [word for word in _CODE.findall(text) if unknown(word)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_diagrams_name_exists(path: Path) -> None:
    """Files by the end of their paths, classes with their members, and names with underscores."""
    known = definitions()
    names = {name for members in known.values() for name in members}
    files = [str(file.relative_to(ROOT)) for one in PACKAGES for file in (ROOT / one).rglob("*.py")]
    for diagram in re.findall(r"^```mermaid\n(.*?)^```", path.read_text(), re.M | re.S):
        for word in re.findall(r"[\w/]+\.py\b", diagram):
            assert any(f"/{file}".endswith(f"/{word}") for file in files), word
        for owner, member in re.findall(r"\b([A-Z]\w+)\.(\w+)", diagram):
            assert member in known.get(owner, ()), f"{owner}.{member}"
        for word in re.findall(r"(?<![\w/.])[a-z]+(?:_[a-z]+)+(?![\w/.])", diagram):
            assert word in names, word


@pytest.mark.parametrize(
    "word",
    [
        "actors/stages/gone.py", "tests/test_gone.py", "test_gone.py", "actors.stages.gone",
        "pipelines.jobs.run.run_jobs", "CommitLog.commits", "Ledgers", "make_plans()",
        "tests/gone/*.py",
    ],
)  # fmt: skip
def test_names_of_nothing_are_noticed(word: str) -> None:
    assert unknown(word) == word


@pytest.mark.parametrize(
    "word",
    [
        "actors/stages/write.py", "tests/pipelines/**/test_*.py", "actors.stages.write",
        "pipelines.jobs.run.run_job", "CommitLog.commit", "CommitLog", "make_plan()", "unit_rows",
        "s3://bucket", "FAULT_COLUMN",
    ],
)  # fmt: skip
def test_names_of_something_pass(word: str) -> None:
    assert unknown(word) is None


def test_what_stages_read_and_write_is_told() -> None:
    rows = table_rows(sections(ROOT / "docs/architecture.md")["What a stage reads and writes"])
    columns = stage_columns(get_task("speech_s2s"))
    assert [row[0].strip("`") for row in rows] == list(columns)
    for (_, *told), stage in zip(rows, columns.values(), strict=True):
        true = [set(names) - {*ALWAYS} for names in (stage.reads, stage.writes, stage.drops)]
        assert [set(_CODE.findall(cell)) for cell in told] == true


def test_the_rooms_are_told_in_their_order() -> None:
    rows = table_rows(sections(ROOT / "docs/architecture.md")["The rooms"])
    assert [row[0].strip("`").replace("/", ".") for row in rows] == list(ORDER)
