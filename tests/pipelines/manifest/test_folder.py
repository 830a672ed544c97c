"""Folders, tars and globs: what is taken, and that nothing is left out without a word."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.config.input_settings import ManifestConfig
from pipelines.config.make_job import make_job
from pipelines.errors import UsageError
from pipelines.manifest.tables.options import Suffixes
from pipelines.planning.plan import Plan, make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task

WAV = wav_bytes(tone(0.1))
TOKENIZE, TTS = get_task("tokenize"), get_task("tts")


def place(root: str, **files: bytes) -> str:
    """A folder with files; ``__`` in a name stands for a dot."""
    for name, data in files.items():
        Storage(root).put(name.replace("__", "."), data)
    return root


def planned(uri: str, suffixes: Suffixes = "known") -> Plan:
    return make_plan(uri, TOKENIZE, manifest=ManifestConfig(suffixes=suffixes))


def ids(plan: Plan) -> list[str]:
    return [row for unit in plan.units for row in unit.read()["id"].to_pylist()]


def said(plan: Plan) -> list[str]:
    return [str(left_out) for left_out in plan.left_out]


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_folder_of_audio_says_what_it_does_not_take(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path / "in") if where == "local" else request.getfixturevalue("bucket")
    place(root, a__wav=WAV, b__m4a=WAV, x__txt=b"t", y__TXT=b"t", z__jpg=b"\xff\xd8\xff", n=b"")
    plan = planned(root)
    assert ids(plan) == ["a.wav", "b.m4a"]
    assert said(plan) == [
        "4 files left out (2 .txt, 1 .jpg, 1 without suffix): not audio by their suffixes; "
        "--set manifest.suffixes=all takes those that hold audio"
    ]
    assert plan.left_out[0].record()["by_suffix"] == {".txt": 2, ".jpg": 1, "without suffix": 1}
    assert planned(place(root + "/only", a__wav=WAV)).left_out == ()


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("pattern", ["", "/*"])
def test_all_that_is_audio_by_its_content_is_taken_when_asked(
    where: str, pattern: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path / "in") if where == "local" else request.getfixturevalue("bucket")
    tag = b"ID3\x04\0\0\0\0\x7f\x7f"
    place(root, b__wav=WAV, a__0001=WAV, call=WAV, d__dat=tag, x__html=b"<html>", y__q=b"")
    assert ids(planned(root + pattern)) == ["b.wav"]
    plan = planned(root + pattern, "all")
    assert ids(plan) == ["a.0001", "b.wav", "call", "d.dat"]
    assert plan.left_out[0].count == 2
    assert said(plan)[0].endswith("not audio by their suffixes or their first bytes")


def test_a_file_that_is_named_is_taken_by_its_content(tmp_path: Path) -> None:
    root = place(str(tmp_path), a__0001=WAV, b__0001=b"text")
    assert ids(planned(f"{root}/a.0001")) == ["a.0001"]
    with pytest.raises(UsageError, match=r"'\.0001' is not known, and it does not begin as audio"):
        planned(f"{root}/b.0001")


@pytest.mark.timeout(20)
def test_what_cannot_be_looked_into_is_left_out(tmp_path: Path) -> None:
    import os

    place(str(tmp_path / "in"), a__wav=WAV)
    os.mkfifo(tmp_path / "in/pipe")
    (tmp_path / "in/lost").symlink_to(tmp_path / "unmounted/corpus")
    plan = planned(str(tmp_path / "in"), "all")
    assert ids(plan) == ["a.wav"]
    assert plan.left_out[0].kinds == {"without suffix": 1, "links to nothing": 1}


def test_links_that_are_refused_are_not_looked_into(tmp_path: Path) -> None:
    place(str(tmp_path / "out"), a__dat=WAV)
    place(str(tmp_path / "in"), b__wav=WAV)
    (tmp_path / "in/a.dat").symlink_to(tmp_path / "out/a.dat")
    job = make_job(
        {"task": "tokenize", "input": str(tmp_path / "in"), "output": "out"},
        sets=("manifest.suffixes=all", "input.links=refuse"),
    )
    plan = make_plan(job.input, TOKENIZE, rules=job.input_rules, manifest=job.manifest)
    assert (ids(plan), plan.left_out[0].kinds) == (["b.wav"], {".dat": 1})
    assert ids(planned(job.input, "all")) == ["a.dat", "b.wav"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "tar"])
def test_a_folder_of_manifests_says_what_lies_beside_them(kind: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = place(str(tmp_path), a__wav=WAV, b__WAV=WAV, c__csv=b"id")
    if kind == "jsonl":
        place(root, m__JSONL=b'{"audio": "a.wav"}')
    elif kind == "parquet":
        pq.write_table(pa.table({"audio": ["a.wav"]}), tmp_path / "m.parquet")
    else:
        (tmp_path / "m.tar").write_bytes(tar({"x.wav": WAV}))
    plan = planned(root)
    assert plan.rows == 1
    assert plan.left_out[0].kinds == {".wav": 2, ".csv": 1}
    assert f"INPUT is read by its .{kind} files; rows may name them" in said(plan)[0]


def test_hidden_files_are_counted(tmp_path: Path) -> None:
    root = str(tmp_path / "in")
    place(root, a__wav=WAV, __DS_Store=b"", **{"__git/x__wav": WAV, "sub/___b__wav": WAV})
    assert said(planned(root)) == [
        "3 files and folders left out (3 hidden): their names begin with a dot, so they are never "
        "taken"
    ]


def test_code_pairs_say_what_has_no_partner(tmp_path: Path) -> None:
    place(str(tmp_path), a_semantic__pt=b"", a_reason__pt=b"", b_reason__pt=b"", c__wav=WAV)
    plan = make_plan(str(tmp_path), get_task("detokenize"))
    assert plan.rows == 1
    assert plan.left_out[0].kinds == {".pt": 1, ".wav": 1}


def test_kaldi_names_its_files_that_are_not_read(tmp_path: Path) -> None:
    root = place(
        str(tmp_path), wav__scp=b"r1 a.wav\nr2 b.wav\nr3 c.wav\n", segments=b"u1 r2 0 1\n",
        text=b"u1 x\n", utt2spk=b"u1 s\n", spk2utt=b"s u1\n", feats__scp=b"", utt2dur=b"",
    )  # fmt: skip
    plan = make_plan(root, get_task("asr"))
    assert plan.left_out[0].kinds == {"feats.scp": 1, "utt2dur": 1}
    assert said(plan)[0].endswith("utt2spk, utt2lang are read")
    assert said(plan)[1] == (
        "2 entries of wav.scp left out (2 recordings): no line of segments names them"
    )


def test_saved_datasets_are_read_by_their_own_record(tmp_path: Path) -> None:
    splits = {
        name: datasets.Dataset.from_dict({"audio": [f"{name}.wav"]}) for name in ("train", "test")
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path)
    plan = planned(str(tmp_path))
    assert (plan.rows, plan.left_out) == (2, ())
    place(str(tmp_path), **{"train/old__arrow": b"x"})
    assert planned(str(tmp_path)).left_out[0].kinds == {".arrow": 1}


def tar(members: dict[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as packed:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            packed.addfile(header, io.BytesIO(data))
        for name in links:
            header = tarfile.TarInfo(name)
            header.type, header.linkname = tarfile.LNKTYPE, "a.wav"
            packed.addfile(header)
    return sink.getvalue()


def test_members_of_other_kinds_are_counted(tmp_path: Path) -> None:
    members = {
        "a.wav": WAV, "a.jpg": b"x", "a.npy": b"x", "b.mp4": WAV, "b.txt": b"t", "b.wav": WAV,
        "c.dat": WAV, "README": b"x", ".DS_Store": b"", "d.json": b'{"n": [1, "a"]}',
        "e.json": b'{"n": 3}',
    }  # fmt: skip
    (tmp_path / "a.tar").write_bytes(tar(members, ("f.wav",)))
    plan = planned(str(tmp_path / "a.tar"))
    assert ids(plan) == ["a", "b", "c", "d", "e"]
    kinds = {
        ".jpg": 1, ".npy": 1, ".dat": 1, "without suffix": 1, "hidden": 1, "links": 1,
        "second sounds": 1,
    }  # fmt: skip
    assert (plan.left_out[0].what, plan.left_out[0].kinds) == ("tar members", kinds)
    # a sound is heard rather than its video
    rows = [row for unit in plan.units for row in unit.read().to_pylist()]
    offset = int(rows[1]["audio"].partition("=")[2].partition("+")[0])
    assert offset > tar(members).index(b"b.txt")
    plan = planned(str(tmp_path / "a.tar"), "all")
    assert plan.left_out[0].kinds == {name: n for name, n in kinds.items() if name != ".dat"}
    rows = [row for unit in plan.units for row in unit.read().to_pylist()]
    assert rows[2]["audio"].startswith(f"{tmp_path}/a.tar#bytes=")


def test_the_first_line_the_record_and_the_report_tell_it(
    tmp_path: Path, make_audio: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    make_audio("in/a.wav", 0.2)
    place(str(tmp_path / "in"), x__txt=b"t", **{"y__<b>": b"t"})
    out = str(tmp_path / "out")
    given = {"task": "tokenize", "input": str(tmp_path / "in"), "output": out, "model": "tiny"}
    job = JobConfig(**given, executor="inline")
    assert run_job(job, "lines").exit_code == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("tokenize: 1 row in 1 unit; 2 files left out (1 ")
    assert first.endswith("--set manifest.suffixes=all takes those that hold audio")
    record = json.loads((tmp_path / "out/run.json").read_text())["input"]
    assert record["left_out"][0]["by_suffix"] == {".txt": 1, ".<b>": 1}
    assert record["columns_read"] == ["id", "audio"]
    page = (tmp_path / "out/report.html").read_text()
    assert "2 files left out (" in page
    assert "1 .&lt;b&gt;" in page
    assert "read by the task: id, audio; the others travel to the results" in page


def test_suffixes_that_are_none_are_one_kind(tmp_path: Path) -> None:
    names = {f"a.{number:013}": b"" for number in range(30)}
    names |= {f"b.k{number}": b"" for number in range(60)}
    for name, data in {"a.wav": WAV, **names}.items():
        (tmp_path / name).write_bytes(data)
    (left_out,) = planned(str(tmp_path)).left_out
    assert left_out.kinds["without suffix"] == 30
    assert "53 others)" in str(left_out)
    record = left_out.record()
    assert (record["count"], record["by_suffix"]["others"]) == (90, 11)
    assert left_out.of_record(record).count == 90


def test_a_folder_in_which_nothing_is_audio(tmp_path: Path) -> None:
    place(str(tmp_path), a__x=WAV, b__y=b"text")
    for uri in (str(tmp_path), f"{tmp_path}/*"):
        with pytest.raises(UsageError, match=r"2 files left out .*--set manifest\.suffixes=all"):
            planned(uri)


def test_a_pattern_says_which_folders_it_does_not_enter(tmp_path: Path) -> None:
    place(str(tmp_path), a__wav=WAV, **{"sub/b__wav": WAV})
    plan = planned(f"{tmp_path}/*")
    assert ids(plan) == ["a.wav"]
    assert said(plan) == [
        "1 folder left out (1 matched): a pattern takes files; '**' reaches into folders"
    ]
