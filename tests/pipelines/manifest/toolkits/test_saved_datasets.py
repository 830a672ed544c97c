"""Folders that `datasets` saved, and names in them that lead elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.unit import to_stream
from pipelines.config.input_settings import InputRules
from pipelines.errors import UsageError
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task

TTS = get_task("tts")
NAMES = ["../other.arrow", "/etc/passwd.arrow", "s3://bucket/x.arrow", "a/../../b.arrow", "..",
         ".hidden.arrow", "", 5, None, {"a": 1}, "http:x", "a\\b.arrow"]  # fmt: skip


def _save(folder: Path, names: list[object]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_info.json").write_text("{}")
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    return str(folder)


def _arrow(path: Path, row: str = "a") -> Path:
    path.write_bytes(to_stream(pa.table({"id": [row], "text": ["words"]})))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out_are_refused(name: object, tmp_path: Path) -> None:
    _arrow(tmp_path / "other.arrow")
    uri = _save(tmp_path / "in", [name])
    with pytest.raises(UsageError, match=r"'state.json' names .*give their plain names") as caught:
        make_plan(uri, TTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*NAMES, ["x"]])
def test_splits_that_lead_out_are_refused(name: object, tmp_path: Path) -> None:
    _save(tmp_path / "other", ["a.arrow"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in/dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    with pytest.raises(UsageError, match=r"'dataset_dict.json' names .*give their plain names"):
        make_plan(str(tmp_path / "in"), TTS)


@pytest.mark.parametrize(
    "facts", ["SECRET", '["SECRET"]', '{"_data_files": "SECRET"}', b"\xff\xfe"]
)
def test_facts_that_are_none(facts: str | bytes, tmp_path: Path) -> None:
    uri = _save(tmp_path / "in", [])
    data = facts if isinstance(facts, bytes) else facts.encode()
    (tmp_path / "in/state.json").write_bytes(data)
    with pytest.raises(UsageError, match="save the dataset again") as caught:
        make_plan(uri, TTS)
    assert "SECRET" not in str(caught.value)
    assert "\\xff" not in str(caught.value)


def test_shards_that_are_links(tmp_path: Path) -> None:
    uri = _save(tmp_path / "in", ["a.arrow", "b.arrow", "c.arrow"])
    _arrow(tmp_path / "in/a.arrow")
    (tmp_path / "in/b.arrow").symlink_to(_arrow(tmp_path / "in/real.arrow", "b"))
    (tmp_path / "in/c.arrow").symlink_to(_arrow(tmp_path / "far.arrow", "c"))
    followed = make_plan(uri, TTS, unit_rows=1)
    assert [unit.read()["id"][0].as_py() for unit in followed.units] == ["a", "b", "c"]
    assert followed.notes[0].startswith("1 links lead out of INPUT")
    refused = make_plan(uri, TTS, unit_rows=1, rules=InputRules(links="refuse"))
    assert [unit.read()["id"][0].as_py() for unit in refused.units] == ["a", "b", "c.arrow"]


def test_facts_that_are_a_link(tmp_path: Path) -> None:
    uri = _save(tmp_path / "in", [])
    (tmp_path / "in/state.json").unlink()
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "in/state.json").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UsageError, match="another kind of name"):
        make_plan(uri, TTS)
