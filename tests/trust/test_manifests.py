"""A stranger's manifest: what it names beyond its place is neither read nor told."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.config.input_settings import InputRules
from pipelines.errors import UsageError
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task

SECRET = "Xq7vJ2kPz9Wm4Lr8Bt5NcH"
TOKENIZE = get_task("tokenize")


class _Page(http.server.BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        data = SECRET.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def inside() -> Iterator[Any]:
    """A server of this machine, which no stranger's row may reach."""
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _everything(output: Path | str) -> str:
    """All that a run left behind, as one text."""
    storage = Storage(str(output))
    parts = []
    for path in storage.list(""):
        data = storage.read(path)
        if path.endswith(".parquet"):
            parts.append(json.dumps(pq.read_table(io.BytesIO(data)).to_pylist(), default=str))
        else:
            parts.append(data.decode("utf-8", "replace"))
    return "\n".join(parts)


def test_a_manifest_in_a_bucket_names_what_is_not_its_own(
    bucket: str, tmp_path: Path, inside: Any
) -> None:
    """Refused before anything starts, with what would allow it."""
    private = tmp_path / "private.wav"
    private.write_bytes(wav_bytes(tone(0.5)))
    web = f"http://127.0.0.1:{inside.server_port}/latest/meta-data"
    for name in (str(private), f"file://{private}", "s3://theirs/a.wav", web, "../../theirs/a.wav"):
        Storage(bucket).put("m.jsonl", json.dumps({"id": "a", "audio": name}).encode())
        with pytest.raises(UsageError, match=r"1 addresses .*--set input\.allow="):
            make_plan(f"{bucket}/m.jsonl", TOKENIZE)
    assert inside.seen == []
    rules = InputRules(allow=f"{tmp_path}/")  # type: ignore[arg-type] # one is as good as a list
    Storage(bucket).put("m.jsonl", json.dumps({"id": "a", "audio": str(private)}).encode())
    assert make_plan(f"{bucket}/m.jsonl", TOKENIZE, rules=rules).rows == 1


@pytest.mark.usefixtures("cluster")
def test_rows_that_may_not_be_read_cost_themselves(
    bucket: str, tmp_path: Path, inside: Any
) -> None:
    private, secret = tmp_path / "private.wav", tmp_path / "secret"
    private.write_bytes(wav_bytes(tone(0.5)))
    secret.write_text(SECRET)
    Storage(bucket).put("in/good.wav", wav_bytes(tone(0.5)))
    names = {
        "good": "good.wav",
        "local": str(private),
        "secret": str(secret),
        "part": f"{secret}#bytes=0+8",
        "url": f"file://{secret}",
        "web": f"http://127.0.0.1:{inside.server_port}/x#bytes=0+8",
        "theirs": "s3://theirs/a.wav",
        "steps": "../../theirs/a.wav",
    }
    lines = [json.dumps({"id": row, "audio": name}) for row, name in names.items()]
    Storage(bucket).put("in/m.jsonl", "\n".join(lines).encode())
    out = f"{bucket}/out"
    job = JobConfig(task="tokenize", input=f"{bucket}/in/m.jsonl", output=out, model="tiny",
                    input_rules=InputRules(refused="rows"))  # fmt: skip
    result = run_job(job)
    assert (result.counts.ok, result.counts.errors) == (1, len(names) - 1)
    assert dict(result.counts.kinds) == {"forbidden_address": len(names) - 1}
    assert inside.seen == []
    assert SECRET[:8] not in _everything(out)


@pytest.mark.usefixtures("cluster")
def test_no_bytes_of_a_file_that_is_no_audio_are_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    kinds = {"lfs": "version https://git-lfs.github.com/spec/v1\n", "page": "<!doctype html>"}
    for name, text in kinds.items():
        (tmp_path / name).write_text(text + SECRET)
    named = [str(secret), *(f"{secret}#bytes={start}+8" for start in range(0, 24, 8)), *kinds]
    lines = [json.dumps({"id": str(row), "audio": name}) for row, name in enumerate(named)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    job = JobConfig(task="tokenize", input=str(tmp_path / "m.jsonl"), output=str(out), model="tiny")
    result = run_job(job)
    assert result.counts.errors == len(named)
    told = _everything(out)
    assert not any(SECRET[start : start + 4] in told for start in range(len(SECRET) - 4))
    assert "Git LFS pointer" in told
    assert "HTML" in told
