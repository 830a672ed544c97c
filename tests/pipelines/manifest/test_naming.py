"""Columns of any name, and ids of any kind, as every reader of rows sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.names import FAULT_COLUMN
from actors.batch.unit import row_ids
from pipelines.config.input_settings import InputRules, ManifestConfig
from pipelines.errors import UsageError
from pipelines.manifest.files import place_of
from pipelines.planning.plan import Plan, make_plan
from uniaudio2.tasks.table import get_task

ASR, TTS = get_task("asr"), get_task("tts")
ROWS = [{"n": n, "path": f"clips/{n}.mp3", "sentence": f"words {n}"} for n in range(6)]


def write(path: Path, rows: list[dict[str, object]]) -> str:
    """Rows in a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=4)
    elif path.suffix == ".arrow":
        with pa.ipc.new_stream(path, table.schema) as file:
            file.write_table(table, 4)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return str(path)


def rows_of(plan: Plan) -> list[dict[str, object]]:
    return [row for unit in plan.units for row in unit.read().to_pylist()]


def ids_of(plan: Plan) -> list[str | None]:
    return [name for unit in plan.units for name in row_ids(unit.read())]


def plan_of(uri: str, **settings: object) -> Plan:
    return make_plan(uri, ASR, unit_rows=4, manifest=ManifestConfig.model_validate(settings))


KINDS = pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl", "csv"])


@KINDS
def test_the_one_column_that_can_be_audio_serves_as_it_and_that_is_said(
    tmp_path: Path, kind: str
) -> None:
    plan = plan_of(write(tmp_path / f"a.{kind}", ROWS))
    found = rows_of(plan)
    assert [row["audio"] for row in found] == [row["path"] for row in ROWS]
    assert "path" not in plan.schema.names and "path" not in found[0]
    assert plan.schema.names == list(found[0])
    assert any("'path' is taken for it (--map audio=COLUMN" in note for note in plan.notes)
    assert ids_of(plan)[4:] == row_ids(plan.units[1].read())


@KINDS
def test_text_serves_where_the_task_reads_it(tmp_path: Path, kind: str) -> None:
    uri = write(tmp_path / f"a.{kind}", ROWS)
    plan = make_plan(uri, TTS)
    assert [row["text"] for row in rows_of(plan)] == [row["sentence"] for row in ROWS]
    assert "sentence" in make_plan(uri, ASR).schema.names  # travels as it is


@KINDS
def test_two_columns_that_could_be_it_are_refused_with_the_command(
    tmp_path: Path, kind: str
) -> None:
    uri = write(tmp_path / f"a.{kind}", [{**row, "wav": f"{row['n']}.wav"} for row in ROWS])
    with pytest.raises(UsageError, match=r"path, wav could each be 'audio'.*--map audio=path"):
        plan_of(uri)
    plan = plan_of(uri, map={"audio": "wav"})
    assert [row["audio"] for row in rows_of(plan)] == [f"{n}.wav" for n in range(6)]
    assert "path" in plan.schema.names and plan.notes == ()


def test_a_column_of_that_name_whose_values_are_no_paths_is_not_taken(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jsonl", [{"file": f"recording {n}"} for n in range(3)])
    with pytest.raises(UsageError, match=r"file is not taken .* no paths.*--map audio=file"):
        plan_of(uri)
    assert plan_of(uri, map={"audio": "file"}).rows == 3


def test_what_is_there_already_is_never_replaced(tmp_path: Path) -> None:
    """A column `audio`, that of NeMo and codes are read as they were."""
    for name in ("audio", "audio_filepath", "recon_codes"):
        plan = plan_of(write(tmp_path / f"{name}.jsonl", [{name: "a.wav", "path": "b.wav"}]))
        assert plan.schema.names == [name, "path"]
        assert not any("is taken for it" in note for note in plan.notes)


def test_nothing_is_taken_for_a_column_of_which_no_alias_is_there(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jsonl", [{"x": "a.wav"}])
    with pytest.raises(UsageError, match="--map audio=COLUMN names the one that is it"):
        plan_of(uri)
    assert rows_of(plan_of(uri, map={"audio": "x"})) == [{"audio": "a.wav"}]


def test_an_unknown_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", ROWS)
    with pytest.raises(UsageError, match=r"--map text=sentense.*did you mean 'sentence'"):
        plan_of(uri, map={"text": "sentense"})
    with pytest.raises(UsageError, match=r"ids of column 'uid'.*no such column"):
        plan_of(uri, id="uid")


def test_a_name_that_is_taken_needs_another_for_its_column(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"audio": "a.wav", "text": "raw", "sentence": "clean"}]
    uri = write(tmp_path / "a.parquet", rows)
    with pytest.raises(UsageError, match="--map other_text=text"):
        plan_of(uri, map={"text": "sentence"})
    (row,) = rows_of(plan_of(uri, map={"text": "sentence", "other_text": "text"}))
    assert row == {"audio": "a.wav", "other_text": "raw", "text": "clean"}
    with pytest.raises(UsageError, match="'audio' is given 2 names"):
        plan_of(uri, map={"a": "audio", "b": "audio"})


def test_files_of_one_input_may_name_it_differently(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", [{"id": "a", "path": "a.wav"}])
    write(tmp_path / "2.parquet", [{"id": "b", "audio": "b.wav", "path": "x"}])
    found = rows_of(plan_of(str(tmp_path)))
    assert [row["audio"] for row in found] == ["a.wav", "b.wav"]


def test_sounds_that_a_file_holds_serve_and_are_not_read_by_the_plan(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": n, "wav": {"bytes": b"RIFF%d" % n, "path": f"{n}.wav"}} for n in range(3)
    ]
    plan = plan_of(write(tmp_path / "a.parquet", rows))
    assert [row["audio"] for row in rows_of(plan)] == [row["wav"] for row in rows]
    (unit,) = plan.units
    table = unit.read(paths_only=["audio"])
    assert table["audio"].to_pylist() == [{"path": f"{n}.wav"} for n in range(3)]


def test_addresses_of_a_renamed_column_are_looked_at(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", [{"url": "http://10.0.0.1/a.wav"}])
    with pytest.raises(UsageError, match="1 addresses that its rows may not name"):
        plan_of(uri)
    rules = InputRules(refused="rows")
    assert make_plan(uri, ASR, rules=rules).rows == 1


@KINDS
def test_ids_of_a_column_of_places_and_of_contents(tmp_path: Path, kind: str) -> None:
    """The column that had the ids, which labels something else, stays beside them."""
    rows: list[dict[str, object]] = [{"id": 7, **row} for row in ROWS]
    uri = write(tmp_path / f"a.{kind}", rows)
    plan = plan_of(uri, id="path")
    assert ids_of(plan) == [row["path"] for row in ROWS]
    assert [str(row["input_id"]) for row in rows_of(plan)] == ["7"] * 6
    assert [row["audio"] for row in rows_of(plan)] == ids_of(plan)
    assert ids_of(plan_of(uri, map={"id": "path"})) == ids_of(plan)
    places = plan_of(uri, id="place")
    assert ids_of(places) == [f"a.{kind}:{n}" for n in range(6)]
    assert [unit.read(["id"]).to_pylist() for unit in places.units][1][1] == {"id": f"a.{kind}:5"}
    contents = ids_of(plan_of(uri, id="content"))
    assert len(set(contents)) == 6 and not set(contents) & {"7"}


def test_ids_of_contents_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    for folder, order in (("one", (0, 1)), ("two", (1, 0))):
        for place, half in enumerate(order):
            write(tmp_path / folder / f"{place}.parquet", ROWS[half * 3 : half * 3 + 3])
    one, two = (ids_of(plan_of(str(tmp_path / f), id="content")) for f in ("one", "two"))
    assert one == two[3:] + two[:3]


def test_equal_rows_have_places_of_their_own_which_stay(tmp_path: Path) -> None:
    """Prompts that were drawn with replacement: again, with another file, with fewer rows."""
    uri = write(tmp_path / "in/b.jsonl", [{"text": "same"}] * 5)
    config = ManifestConfig(id="place")
    before = ids_of(make_plan(uri, TTS, 2, manifest=config))
    assert len(set(before)) == 5
    write(tmp_path / "in/a.jsonl", [{"text": "same"}] * 3)
    again = ids_of(make_plan(str(tmp_path / "in"), TTS, 2, manifest=config))
    assert again[3:] == before == [f"b.jsonl:{n}" for n in range(5)]
    assert ids_of(make_plan(uri, TTS, 2, limit=3, manifest=config)) == before[:3]


def test_lines_that_fail_have_ids_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"uid": "x", "audio": "a.wav"}\nbroken\n')
    for settings in ({"id": "uid"}, {"id": "place"}, {"id": "content"}):
        ids = ids_of(plan_of(str(path), **settings))
        assert None not in ids and len(set(ids)) == 2
    assert ids_of(plan_of(str(path), id="uid")) == ["x", "a.jsonl:1"]


@pytest.mark.parametrize("name", ["id", "name"])
def test_the_same_line_of_two_files_may_fail(tmp_path: Path, name: str) -> None:
    """Such rows are told apart by their files; else two torn lines would end the run."""
    for file in ("1", "2"):
        text = f'broken\n{{"{name}": "{file}", "text": "x"}}\n'
        (tmp_path / f"{file}.jsonl").write_text(text)
    plan = make_plan(str(tmp_path), TTS)
    assert len(set(ids_of(plan))) == 4
    faults = [str(row[FAULT_COLUMN]) for row in rows_of(plan) if row.get(FAULT_COLUMN)]
    assert len(faults) == 2 and all("line 1: " in fault for fault in faults)
    if name == "id":
        assert ids_of(plan) == ["1.jsonl:0", "1", "2.jsonl:0", "2"]


def test_all_files_must_have_the_column_that_ids_are_taken_from(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", [{"uid": "a", "path": "a.wav"}])
    write(tmp_path / "2.parquet", [{"path": "b.wav"}])
    with pytest.raises(UsageError, match=r"2.parquet: no column 'uid'.*manifest.id=place"):
        plan_of(str(tmp_path), id="uid")


def test_partitions_can_be_named_too(tmp_path: Path) -> None:
    for language in ("de", "en"):
        write(tmp_path / f"lang={language}/a.parquet", [{"audio": f"{language}.wav"}])
    plan = plan_of(str(tmp_path), map={"language": "lang"}, id="audio")
    assert [row["language"] for row in rows_of(plan)] == ["de", "en"]
    assert ids_of(plan) == ["de.wav", "en.wav"]
    assert plan.units[0].read(["language"]).to_pylist() == [{"language": "de"}]
    places = ids_of(plan_of(str(tmp_path), id="place"))
    assert places == ["lang=de/a.parquet:0", "lang=en/a.parquet:0"]


@pytest.mark.parametrize(
    ("source", "uri", "place"),
    [
        ("/x/in/a/b.parquet", "/x/in", "a/b.parquet"),
        ("/x/in/b.parquet", "/x/in/b.parquet", "b.parquet"),
        ("/x/in/a/b.parquet", "/x/in/*/b.parquet", "a/b.parquet"),
        ("/x/in/", "/x/in", "in"),
        ("s3://k/in/a.parquet", "s3://k/in/", "a.parquet"),
    ],
)
def test_places_begin_below_the_input(source: str, uri: str, place: str) -> None:
    assert place_of(source, uri) == place
