"""The house: folders in their order, small enough to be read, tests where the code is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("uniaudio2", "actors", "pipelines")
MOST_FILES = 12
# from the ground up: a folder imports from itself and from those before it
ORDER = (
    "uniaudio2",
    "uniaudio2.tokens",
    "uniaudio2.tasks",
    "uniaudio2.audio.containers",
    "uniaudio2.audio.decoders",
    "uniaudio2.audio",
    "uniaudio2.runtime",
    "uniaudio2.codec.encoders",
    "uniaudio2.codec",
    "uniaudio2.flow",
    "uniaudio2.lm",
    "uniaudio2.lm.sampling",
    "uniaudio2.lm.engine",
    "uniaudio2.timing",
    "uniaudio2.checkpoint",
    "uniaudio2.checkpoint.published",
    "uniaudio2.entrypoints",
    "uniaudio2.rules",
    "uniaudio2.scores.models",
    "uniaudio2.scores",
    "uniaudio2.training.data",
    "uniaudio2.training.trainers",
    "uniaudio2.training",
    "actors.disks",
    "actors.storage",
    "actors.prefetch",
    "actors.columnar",
    "actors.batch",
    "actors.inputs",
    "actors.verify",
    "actors.speech",
    "actors.timing",
    "actors.stages",
    "pipelines",
    "pipelines.manifest.tables",
    "pipelines.manifest.tars",
    "pipelines.manifest.toolkits",
    "pipelines.manifest.formats",
    "pipelines.manifest.corpora",
    "pipelines.manifest",
    "pipelines.config.beside",
    "pipelines.config",
    "pipelines.planning.keys",
    "pipelines.planning.units",
    "pipelines.planning",
    "pipelines.executor.nodes",
    "pipelines.executor.network",
    "pipelines.executor.pools",
    "pipelines.executor",
    "pipelines.executor.process",
    "pipelines.run_state.kept",
    "pipelines.run_state",
    "pipelines.progress",
    "pipelines.metrics",
    "pipelines.report",
    "pipelines.export.timed",
    "pipelines.export",
    "pipelines.dedup",
    "pipelines.jobs.commits",
    "pipelines.jobs",
    "pipelines.forecast",
    "pipelines.job_server",
    "pipelines.cli.checks",
    "pipelines.cli.views",
    "pipelines.cli",
)
# packages whose `__init__` re-exports, for users, what stands above it; our own code does without
REEXPORTS = {"uniaudio2", "pipelines"}
# tests of several modules at once
OF_SEVERAL = {
    "tests/uniaudio2/entrypoints/test_imports.py": "what parts of the model import",
    "tests/pipelines/cli/test_imports.py": "what commands have imported when they answer",
    "tests/uniaudio2/test_devices.py": "every part of the model on a device without numbers",
    "tests/uniaudio2/lm/engine/test_engine_cuda_graphs.py": "the engine with captured steps",
    "tests/pipelines/manifest/formats/test_damage.py": "every reader on damaged files",
    "tests/pipelines/manifest/corpora/test_damage.py": "every corpus with damaged metadata",
    "tests/pipelines/jobs/test_channels.py": "runs over files of several channels",
    "tests/pipelines/jobs/test_channel_files.py": "runs over recordings in several files",
    "tests/pipelines/jobs/test_marks.py": "marks from a file to results, records and people",
    "tests/pipelines/jobs/test_stopped_attempts.py": "attempts of runs that are stopped and shared",
    "tests/pipelines/jobs/test_faults.py": "runs whose workers, drivers and stages fail",
    "tests/pipelines/jobs/test_storage_faults.py": "runs whose storage fails",
    "tests/pipelines/run_state/test_outputs_of_old.py": "OUTPUTs of an earlier build",
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def room_of(module: str) -> str:
    return module.rpartition(".")[0]


KNOWN = dict(modules())


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in it."""
    folder = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in KNOWN:
                if f"{name}.__init__" in KNOWN:
                    name = f"{name}.__init__"
                    break
                name = name.rpartition(".")[0]
            if name:
                yield name


def test_every_folder_has_its_place() -> None:
    rooms = {room_of(name) for name, path in KNOWN.items() if path.stat().st_size}
    assert rooms <= set(ORDER), "add the new folder to ORDER, above what it imports"


@pytest.mark.parametrize("room", ORDER)
def test_a_folder_imports_what_stands_below_it(room: str) -> None:
    place = ORDER.index(room)
    up = [
        f"{name} imports {other}"
        for name, path in KNOWN.items()
        if room_of(name) == room and not (name.endswith(".__init__") and room in REEXPORTS)
        for other in imported(path)
        if room_of(other) != room and ORDER.index(room_of(other)) > place
    ]
    assert not up


def test_packages_import_one_way() -> None:
    for name, path in KNOWN.items():
        allowed = PACKAGES[: PACKAGES.index(name.split(".")[0]) + 1]
        assert {other.split(".")[0] for other in imported(path)} <= set(allowed), name


def test_what_is_exported_for_users_is_imported_by_users_alone() -> None:
    exports = {f"{package}.__init__" for package in REEXPORTS}
    assert not [name for name, path in KNOWN.items() if exports & {*imported(path)}]


def test_folders_are_small() -> None:
    sizes: dict[str, int] = {}
    for name in KNOWN:
        if not name.endswith(".__init__"):
            sizes[room_of(name)] = sizes.get(room_of(name), 0) + 1
    assert {room: size for room, size in sizes.items() if size > MOST_FILES} == {}


def test_tests_lie_where_the_code_lies() -> None:
    astray = []
    for package in PACKAGES:
        for path in sorted((ROOT / "tests" / package).rglob("test_*.py")):
            name = str(path.relative_to(ROOT))
            tested = path.relative_to(ROOT / "tests").with_name(path.name.removeprefix("test_"))
            if name not in OF_SEVERAL and not (ROOT / tested).exists():
                astray.append(name)
    assert astray == []
    assert [name for name in OF_SEVERAL if not (ROOT / name).exists()] == []
