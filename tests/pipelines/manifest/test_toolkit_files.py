"""Files of other toolkits whose rows are found through other files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from actors.batch.names import FAULT_COLUMN
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task


def pack(path: Path, **members: bytes) -> Path:
    """A tar of members, ``__`` in whose names stands for a dot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name.replace("__", "."))
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def test_shards_of_wenet(tmp_path: Path) -> None:
    for shard in range(2):
        wav = wav_bytes(tone(0.5 + shard))
        pack(
            tmp_path / f"shards/{shard}.tar",
            **{f"u{shard}__wav": wav, f"u{shard}__txt": b"words %d" % shard},
        )
    lines = ["shards/0.tar", f"{tmp_path}/shards/1.tar", "shards/2.tar", "notes.txt"]
    lines.append("https://example.org/3.tar")
    (tmp_path / "data.list").write_text("\n".join(lines))
    plan = make_plan(str(tmp_path / "data.list"), get_task("asr"))
    loaded = [Loader(get_task("asr"), plan.schema)(unit.to_table()) for unit in plan.units]
    rows = [row for table in loaded for row in table.to_pylist()]
    assert [(row["id"], row["input_samples"]) for row in rows[:2]] == [
        ("u0", 12_000),
        ("u1", 36_000),
    ]
    assert [row["input"]["text"] for row in rows[:2]] == ["words 0", "words 1"]
    faults = find_sources(str(tmp_path / "data.list"))[-1]
    assert faults.table is not None
    gone, other, web = faults.table[FAULT_COLUMN].to_pylist()
    assert "No such file" in gone
    assert "manifest.base" in gone
    assert "is no .tar" in other
    assert "fetch it first" in web
    assert any("lists tars, whose samples are the rows (2 are there)" in n for n in plan.notes)


def test_a_list_from_elsewhere_names_no_local_tar(tmp_path: Path, bucket: str) -> None:
    tar = pack(tmp_path / "0.tar", a__wav=wav_bytes(tone(0.1)))
    Storage(bucket).put("data.list", f"{tar}\n".encode())
    (refused,) = find_sources(f"{bucket}/data.list")
    assert refused.table is not None
    assert "named by a manifest from elsewhere" in refused.table[FAULT_COLUMN].to_pylist()[0]
    assert find_sources(f"{bucket}/data.list", Scan(allow=(str(tmp_path),)))[0].rows == 1
    with pytest.raises(UsageError, match="no row can be understood"):
        make_plan(f"{bucket}/data.list", get_task("tokenize"))
