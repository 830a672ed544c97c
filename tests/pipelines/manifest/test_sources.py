"""Where relative audio paths of a manifest start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import JobConfig, run_job
from pipelines.config.input_settings import ManifestConfig
from pipelines.errors import UsageError
from pipelines.export.export import export_run
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task


def test_every_kind_of_manifest_may_start_its_paths_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a.jsonl").write_text(json.dumps({"audio": "a.wav"}))
    (tmp_path / "m/a.csv").write_text("audio,n\na.wav,1\n")
    pq.write_table(pa.table({"audio": ["a.wav"]}), tmp_path / "m/a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        uri = str(tmp_path / "m" / name)
        assert find_sources(uri)[0].base == str(tmp_path / "m")
        assert find_sources(uri, Scan(base=str(tmp_path)))[0].base == str(tmp_path)
        plan = make_plan(uri, get_task("tokenize"), manifest=ManifestConfig(base=f"{tmp_path}/"))
        assert plan.units[0].base == str(tmp_path)


def test_a_run_its_report_and_its_export_find_the_sounds(
    tmp_path: Path, make_audio: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = make_audio("egs/wav/a.wav", 0.2)
    (tmp_path / "egs/data").mkdir()
    (tmp_path / "egs/data/wav.scp").write_text("a\twav/a.wav\n")
    monkeypatch.chdir(tmp_path)
    out = str(tmp_path / "out")
    given = {"task": "asr", "input": "egs/data", "output": out, "model": "tiny"}
    job = JobConfig(**given, executor="inline", manifest=ManifestConfig(base="egs"))
    assert run_job(job, "quiet").exit_code == 0
    assert "not available" not in (tmp_path / "out/report.html").read_text()
    monkeypatch.chdir("/")
    export_run(out, str(tmp_path / "kaldi"), "kaldi")
    assert (tmp_path / "kaldi/wav.scp").read_text().split()[1] == str(sound)


def test_a_base_that_cannot_serve_is_refused(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "m.txt").write_text("x")
    base = str(tmp_path)
    for uri in (base, f"{base}/*.wav", f"{base}/a.wav"):
        with pytest.raises(UsageError, match="these files are the rows themselves"):
            find_sources(uri, Scan(base=base))
    with pytest.raises(UsageError, match=r"manifest\.base .*/gone: no such folder"):
        find_sources(f"{base}/m.txt", Scan(base=f"{base}/gone"))
    with pytest.raises(UsageError, match="copy the manifest to this machine first"):
        find_sources(f"{bucket}/m.jsonl", Scan(base=base))


def test_a_local_base_is_recorded_as_a_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ManifestConfig(base="egs/").base == f"{tmp_path}/egs"
    assert ManifestConfig(base="s3://bucket/egs/").base == "s3://bucket/egs"
