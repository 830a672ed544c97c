"""What a model is, told in words, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage import file_systems
from actors.storage.object_store import Storage
from pipelines.cli.inspect import describe
from pipelines.errors import UsageError
from tests.support.hub import serving
from uniaudio2.checkpoint.folders import BUNDLED
from uniaudio2.training.data.domain import WORDS


def test_the_bundled_model_and_the_same_on_s3(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path))
    told = describe("nano")
    assert "nano-" in told and "context" in told
    assert "6: tokenize, reconstruct" in told
    assert f"35: {', '.join(WORDS)}" in told
    config = (BUNDLED / "nano/config.json").read_bytes()
    Storage(bucket).put("m/config.json", config)
    Storage(bucket).put("m/README.md", (BUNDLED / "nano/README.md").read_bytes())
    Storage(bucket).put("m/lm.safetensors", b"not needed")
    assert describe(f"{bucket}/m") == told
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_published_folder_on_s3_is_only_listed(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path))
    Storage(bucket).put("ckpt/llm_ep2.checkpoint", bytes(300_000))
    lines = describe(f"{bucket}/ckpt").splitlines()
    assert any("llm_ep2.checkpoint, 0.3 MB" in line for line in lines)
    assert any("MISSING: MusicFM" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_a_model_of_a_hub_has_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path))
    files = {"config.json": (BUNDLED / "nano/config.json").read_bytes()}
    with serving("team/model", files) as hub:
        hub.revisions["v2"] = "c" * 40
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        file_systems._filesystem.cache_clear()
        for uri, commit in (("hf://team/model", "0" * 40), ("hf://team/model@v2", "c" * 40)):
            assert f"{commit}; --model hf://team/model@{commit}" in describe(uri)
        with pytest.raises(UsageError, match="v3"):
            describe("hf://team/model@v3")
    file_systems._filesystem.cache_clear()


@pytest.mark.parametrize("source", ["nan", "/absent", "s3://absent-bucket-of-nobody/x"])
def test_what_is_no_model(source: str, s3_server: str) -> None:
    with pytest.raises(UsageError, match=source.split("/")[-1]):
        describe(source)
