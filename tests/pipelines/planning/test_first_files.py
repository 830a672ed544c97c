"""Files that Git LFS did not fetch are noticed before anything is paid for."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from actors.inputs.audio import load_wave
from actors.storage.addresses import AddressPolicy
from pipelines.config.input_settings import InputRules
from pipelines.errors import UsageError
from pipelines.planning.first_files import LOOKED_AT, FirstFiles
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.errors import BadRow
from uniaudio2.tasks.table import get_task

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n"
TOKENIZE = get_task("tokenize")


@pytest.mark.parametrize("kind", ["folder", "manifest"])
def test_audio_that_was_not_fetched_is_told_before_the_run(kind: str, tmp_path: Path) -> None:
    names = [f"{number}.wav" for number in range(20)]
    for name in names:
        (tmp_path / name).write_bytes(POINTER)
    uri = str(tmp_path)
    if kind == "manifest":
        uri += "/m.jsonl"
        Path(uri).write_text("\n".join(json.dumps({"audio": name}) for name in names))
    with pytest.raises(
        UsageError, match=r"first 8 files that its rows name are not there: '0.wav'.*`git lfs pull`"
    ):
        make_plan(uri, TOKENIZE)
    assert make_plan(uri, TOKENIZE, rules=InputRules(refused="rows")).rows == 20
    (tmp_path / "1.wav").write_bytes(wav_bytes(tone(0.1)))  # some are there: the others fail alone
    assert make_plan(uri, TOKENIZE).rows == 20
    with pytest.raises(BadRow, match=r"a Git LFS pointer.* run `git lfs pull`"):
        load_wave({"audio": "0.wav"}, AddressPolicy(str(tmp_path)), 10.0)


def test_few_files_are_looked_at_and_only_those_that_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(POINTER)
    first = FirstFiles()
    first.look(["a", "gone", None, 5, "s3://b/a"], AddressPolicy(str(tmp_path)))
    assert first.looked_at == 2
    first.check("in")  # one of them is missing: a matter of its row
    first.look(["a"] * 100, AddressPolicy(str(tmp_path)))
    assert first.looked_at == LOOKED_AT
    elsewhere = FirstFiles()
    elsewhere.look([str(tmp_path / "a")], AddressPolicy("s3://bucket/x"))
    assert elsewhere.looked_at == 0


def test_the_files_of_lists_are_among_the_first(tmp_path: Path) -> None:
    names = [[f"{row}a.wav", f"{row}b.wav"] for row in range(3)]
    for name in chain.from_iterable(names):
        (tmp_path / name).write_bytes(POINTER)
    lines = [json.dumps({"id": str(n), "audio_filepath": files}) for n, files in enumerate(names)]
    (tmp_path / "m.json").write_text("\n".join(lines))
    with pytest.raises(
        UsageError, match=r"first 6 files that its rows name are not there: '0a.wav'"
    ):
        make_plan(str(tmp_path / "m.json"), TOKENIZE)
