"""NeMo's tarred manifests: entries are heard in the tars beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.batch.names import FAULT_COLUMN
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.toolkits.nemo_tarred import by_shard, expanded, member_of, shard_number
from pipelines.planning.plan import Plan, make_plan
from tests.conftest import tone, wav_bytes
from tests.pipelines.manifest.test_toolkit_files import pack
from uniaudio2.tasks.table import get_task

ASR = get_task("asr")
HEARD = [("a.wav", "one", 12_000), ("a-sub1.wav", "two", 6_000), ("b.wav", "three", 24_000)]


def _entry(name: str, shard: int, text: str, **more: Any) -> dict[str, Any]:
    return {"audio_filepath": name, "duration": 0.5, "shard_id": shard, "text": text, **more}


def _corpus(folder: Path) -> list[dict[str, Any]]:
    """Two shards as ``convert_to_tarred_audio_dataset`` lays them out: of a recording that is cut
    into spans there is one member, and an entry for each span."""
    pack(folder / "audio_0.tar", a__wav=wav_bytes(tone(2.0)), left__wav=wav_bytes(tone(0.1)))
    pack(folder / "audio_1.tar", b__wav=wav_bytes(tone(1.0)))
    return [
        _entry("a.wav", 0, "one", offset=0.0),
        _entry("a-sub1.wav", 0, "two", offset=1.0, duration=0.25),
        {**_entry("b.wav", 1, "three"), "duration": 1.0},
    ]


def _lines(entries: list[dict[str, Any]]) -> str:
    return "\n".join(map(json.dumps, entries))


def _heard(plan: Plan) -> list[tuple[str, str, int]]:
    tables = [Loader(ASR, plan.schema)(unit.to_table()) for unit in plan.units]
    rows = [row for table in tables for row in table.to_pylist()]
    return [(row["id"], row["input"]["text"], row["input_samples"]) for row in rows]


@pytest.mark.parametrize("name", ["", "tarred_audio_manifest.json"])
def test_entries_are_heard_in_the_tar_of_their_shard(tmp_path: Path, name: str) -> None:
    (tmp_path / "tarred_audio_manifest.json").write_text(_lines(_corpus(tmp_path)))
    (tmp_path / "metadata.yaml").write_text("num_shards: 2")
    plan = make_plan(str(tmp_path / name), ASR)
    assert _heard(plan) == HEARD
    (members,) = [left for left in plan.left_out if left.what == "tar members"]
    assert members.kinds == {".wav": 1}  # left.wav
    assert "audio_filepath" in plan.schema.names


@pytest.mark.parametrize(
    "name", ["", "sharded_manifests/manifest__OP_0..1_CL_.json", "sharded_manifests/*.json"]
)
@pytest.mark.parametrize("told", [True, False])
def test_manifests_in_shards(tmp_path: Path, name: str, told: bool) -> None:
    """Without `shard_id` the manifest's number tells the tar."""
    entries = _corpus(tmp_path)
    (tmp_path / "sharded_manifests").mkdir()
    for shard in range(2):
        own = [
            {key: value for key, value in entry.items() if told or key != "shard_id"}
            for entry in entries
            if entry["shard_id"] == shard
        ]
        (tmp_path / f"sharded_manifests/manifest_{shard}.json").write_text(_lines(own))
    assert _heard(make_plan(str(tmp_path / name), ASR)) == HEARD


def test_the_manifest_beside_the_tars_is_read_where_there_are_both(tmp_path: Path) -> None:
    entries = _corpus(tmp_path)
    (tmp_path / "sharded_manifests").mkdir()
    (tmp_path / "sharded_manifests/manifest_0.json").write_text(_lines(entries[:2]))
    (tmp_path / "tarred_audio_manifest.json").write_text(_lines(entries))
    plan = make_plan(str(tmp_path), ASR)
    assert plan.rows == 3
    assert any("tarred manifests of NeMo ('tarred_audio_manifest.json')" in n for n in plan.notes)
    assert any(left.kinds == {".json": 1} for left in plan.left_out)


def test_entries_that_are_nowhere_fail_by_name(tmp_path: Path) -> None:
    entries = [*_corpus(tmp_path), _entry("c.wav", 1, "x"), _entry("d.wav", 7, "y")]
    (tmp_path / "m.json").write_text(_lines(entries) + "\ntorn")
    found = find_sources(str(tmp_path / "m.json"))
    assert [(Path(source.uri).name, source.pinned) for source in found] == [
        ("audio_0.tar", True), ("audio_1.tar", True), ("m.json", False),
    ]  # fmt: skip
    assert found[2].table is not None
    member, tar, torn = found[2].table.to_pylist()
    assert (member["id"], tar["id"], torn["id"]) == ("c.wav", "d.wav", "line-6")
    assert "'c.wav' is no member of 'audio_1.tar'" in member[FAULT_COLUMN]
    assert "no tar of shard 7" in tar[FAULT_COLUMN]


@pytest.mark.parametrize("name", ["", "m*.json"])
def test_names_that_repeat_in_several_shards_begin_with_the_shard(
    tmp_path: Path, name: str
) -> None:
    for shard in range(2):
        pack(tmp_path / f"audio_{shard}.tar", a__wav=wav_bytes(tone(0.5)))
    entries = [_entry("a.wav", shard, "x") for shard in (0, 1, 1)]
    (tmp_path / "m_0.json").write_text(_lines(entries[:1]))
    (tmp_path / "m_1.json").write_text(_lines(entries[1:]))
    ids = [row_id for row_id, *_ in _heard(make_plan(str(tmp_path / name), ASR))]
    assert ids == ["audio_0/a.wav", "audio_1/a.wav", "audio_1/a.wav#2"]


def test_a_manifest_of_files_beside_tars_stays_one(tmp_path: Path) -> None:
    _corpus(tmp_path)
    (tmp_path / "own_0.wav").write_bytes(wav_bytes(tone(1.0)))
    (tmp_path / "manifest_0.json").write_text(
        json.dumps({"audio_filepath": "own_0.wav", "text": "x"})
    )
    (source,) = find_sources(str(tmp_path / "manifest_0.json"))
    assert (source.pinned, source.uri) == (False, str(tmp_path / "manifest_0.json"))


def test_a_range_names_files_that_are_there(tmp_path: Path) -> None:
    _corpus(tmp_path)
    assert make_plan(f"{tmp_path}/audio__OP_0..1_CL_.tar", get_task("tokenize")).rows == 3
    with pytest.raises(UsageError, match=r"1 of the 3 files .* not there.*audio_2\.tar"):
        make_plan(f"{tmp_path}/audio_{{0..2}}.tar", get_task("tokenize"))


def test_ranges() -> None:
    assert expanded("a__OP_0..2_CL_.tar") == ["a_0.tar", "a_1.tar", "a_2.tar"]
    assert expanded("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert expanded("b{1,3}/a_OP_0..1_CL_") == ["b1/a0", "b1/a1", "b3/a0", "b3/a1"]
    assert expanded("plain{x}.tar") == []
    for many in ("a{0..99999999}", "a{0..999}{0..999}"):
        with pytest.raises(UsageError, match="stands for more than"):
            expanded(many)


def test_shards_and_members_by_name() -> None:
    assert [shard_number(name) for name in ("a/audio_12.tar", "m.json", "x_007.tar")] == [
        12,
        None,
        7,
    ]
    assert by_shard(["audio_0.tar", "noise_0.tar", "audio_1.tar"]) == {
        0: "audio_0.tar", 1: "audio_1.tar",
    }  # fmt: skip
    with pytest.raises(UsageError, match="may be those called 'speech_', 'tts_'"):
        by_shard(["speech_0.tar", "tts_0.tar"])
    members = {"a.wav": "", "b-sub2.wav": "", "b.wav": ""}
    assert member_of("a-sub12.wav", members) == "a.wav"
    assert member_of("b-sub2.wav", members) == "b-sub2.wav"  # of a tar that holds the spans
    assert member_of("./c.wav", members) is None


def test_a_corpus_in_a_bucket(tmp_path: Path, bucket: str) -> None:
    text = _lines(_corpus(tmp_path))
    for name in ("audio_0.tar", "audio_1.tar"):
        Storage(bucket).put(name, (tmp_path / name).read_bytes())
    Storage(bucket).put("m.json", text.encode())
    for uri in (bucket, f"{bucket}/m.json"):
        assert _heard(make_plan(uri, ASR)) == HEARD
    assert make_plan(bucket, ASR, limit=1).rows == 1


def test_a_tar_that_is_cut_costs_what_lies_behind(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(_lines(_corpus(tmp_path)))
    data = (tmp_path / "audio_1.tar").read_bytes()
    (tmp_path / "audio_1.tar").write_bytes(data[:300])
    found = find_sources(str(tmp_path / "m.json"))
    assert [source.rows for source in found] == [2, 1]
    assert found[1].table is not None
    assert "'b.wav' is no member" in found[1].table[FAULT_COLUMN].to_pylist()[0]


def test_a_row_that_claims_a_range_of_another_file_is_not_believed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("x" * 99)
    entries = _corpus(tmp_path / "in")
    lying = {**entries[0], "audio": f"{secret}#bytes=0+99"}
    (tmp_path / "in/m.json").write_text(_lines([*entries, lying]))
    found = find_sources(str(tmp_path / "in/m.json"))
    assert [Path(source.uri).name for source in found] == ["audio_0.tar", "audio_1.tar", "m.json"]
    assert [source.pinned for source in found] == [True, True, False]
