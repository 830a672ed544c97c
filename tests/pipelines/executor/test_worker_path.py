"""Whose modules workers import: ours, wherever the command is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.executor import worker_path
from pipelines.executor.worker_path import search_path

ROOT = Path(__file__).parents[3]


def _strangers(folder: Path, modules: tuple[str, ...] = ()) -> Path:
    """A folder with packages of common names, which leave a mark where they are imported."""
    mark = folder / "imported"
    line = f"open({str(mark)!r}, 'a').write(__name__ + ' ')\n"
    for name in ("actors", "pipelines", "uniaudio2"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(line)
    for name in modules:
        (folder / f"{name}.py").write_text(line)
    return mark


def test_a_run_from_a_folder_with_packages_of_our_names(tmp_path: Path) -> None:
    mark = _strangers(tmp_path, ("torch", "soundfile", "pyarrow"))
    (tmp_path / "one.txt").write_text("yes\n")
    command = [str(Path(sys.executable).parent / "uniaudio2"), "run", "tts", "one.txt", "out"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, "--model", "tiny", "--quiet"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not mark.exists()


def test_a_driver_that_searches_its_folder_has_workers_that_do_so_behind_ours(
    tmp_path: Path,
) -> None:
    mark = _strangers(tmp_path)
    (tmp_path / "mine.py").write_text("VALUE = 7\n")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
        "from pipelines.executor.cluster import start_ray\n"
        "import ray\n"
        "start_ray(None)\n"
        "def look():\n"
        "    import actors, mine\n"
        "    return actors.__file__, mine.VALUE\n"
        "print(*ray.get(ray.remote(look).remote()))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == [str(ROOT / "actors" / "__init__.py"), "7"], done.stderr
    assert not mark.exists()


@pytest.mark.parametrize(("driver", "wanted"), [(["/x"], 0), (["", "/x"], 1), (["{here}"], 1)])
def test_the_folder_of_the_driver_is_searched_if_it_searches_it(
    driver: list[str], wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one.format(here=tmp_path) for one in driver])
    assert search_path() == [str(ROOT), str(tmp_path)][: 1 + wanted]


def test_an_installed_package_is_searched_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import sysconfig

    monkeypatch.setattr(worker_path, "_HOME", Path(sysconfig.get_paths()["purelib"]).resolve())
    monkeypatch.setattr(sys, "path", ["/x"])
    assert search_path() == []
