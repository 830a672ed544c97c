"""Units cover the manifest exactly once, and what cannot run is refused first."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.unit import row_ids
from pipelines.errors import UsageError
from pipelines.plan import idle_stages, make_plan
from uniaudio2.tasks import get_task

TTS = get_task("tts")


def write(path: Path, table: pa.Table, group: int = 5) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return str(path)


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    size=st.one_of(st.none(), st.integers(1, 17)),
    limit=st.one_of(st.none(), st.integers(1, 60)),
    with_id=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_every_row_is_in_one_unit(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int],
    size: int | None,
    limit: int | None,
    with_id: bool,
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    texts: list[str] = []
    for number, count in enumerate(counts):
        rows = [f"{number}-{row}" for row in range(count)]
        columns = {"text": pa.array(rows, pa.string())}
        if with_id:
            columns["id"] = pa.array([f"id-{row}" for row in rows], pa.string())
        write(folder / f"{number}.parquet", pa.table(columns))
        texts += rows
    wanted = texts[:limit]
    if not wanted:
        with pytest.raises(UsageError, match="no rows"):
            make_plan(str(folder), TTS, size, limit)
        return
    plan = make_plan(str(folder), TTS, size, limit)
    tables = [unit.read() for unit in plan.units]
    assert [text for table in tables for text in table["text"].to_pylist()] == wanted
    assert [unit.unit for unit in plan.units] == list(range(len(plan.units)))
    assert all(
        table.num_rows == unit.row_count for unit, table in zip(plan.units, tables, strict=True)
    )
    assert plan.rows == len(wanted)
    ids = [name for table in tables for name in row_ids(table)]
    assert len(set(ids)) == len(ids)


def test_a_small_manifest_still_makes_several_units(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"text": [str(i) for i in range(20)]}))
    assert 4 <= len(make_plan(uri, TTS).units) <= 8


@pytest.mark.parametrize(
    "columns",
    [
        {"duration": [500.0, 600.0, 200.0, None, 5000.0, 1.0, float("nan"), -9.0]},
        {
            "start_s": [0.0, 10.0, None, None, 0.0, 4.0, 0.0, 9.0],
            "end_s": [500.0, 610.0, 200.0, None, 5000.0, 5.0, None, 0.0],
            "duration": [9e9, 9e9, 9e9, None, 9e9, 9e9, None, None],
        },
        {"duration": [500, 600, 200, None, 2**62 + 1, 1, 0, -9]},
    ],
)
def test_a_unit_is_bounded_in_seconds_of_audio(
    tmp_path: Path, columns: dict[str, list[float | None]]
) -> None:
    """Where columns tell; a row that is longer than a unit may be is a unit of its own."""
    rows = {"id": [str(n) for n in range(48)], "audio": [f"{n}.wav" for n in range(48)]}
    repeated = {name: values * 6 for name, values in columns.items()}
    uri = write(tmp_path / "a.parquet", pa.table({**rows, **repeated}))
    sizes = [unit.row_count for unit in make_plan(uri, get_task("asr")).units]
    # 500 + 600 | 200 + 0 | 5000 | 1 + 0 + 0 + 500 + 600 | 200 + 0 | 5000 | ..., six rows at most
    assert sizes[:6] == [2, 2, 1, 5, 2, 1]
    assert sum(sizes) == 48
    asked = make_plan(uri, get_task("asr"), unit_rows=8)
    assert [unit.row_count for unit in asked.units] == [8] * 6


def test_durations_that_are_no_numbers_tell_nothing(tmp_path: Path) -> None:
    table = pa.table({"audio": ["a.wav", "b.wav"], "duration": ["5000", "long"]})
    plan = make_plan(write(tmp_path / "a.parquet", table), get_task("asr"))
    assert plan.rows == 2


def test_missing_column_names_what_is_there(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"words": ["a"]}))
    with pytest.raises(UsageError, match=r"'text' is missing.*has words"):
        make_plan(uri, TTS)
    with pytest.raises(UsageError, match=r"'audio' \(or audio_filepath, recon_codes, "):
        make_plan(uri, get_task("asr"))


@pytest.mark.parametrize(("column", "idle"), [("recon_codes", ("encode",)), ("audio", ())])
def test_tokens_serve_where_audio_is_absent(
    tmp_path: Path, column: str, idle: tuple[str, ...]
) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({column: [None]}))
    plan = make_plan(uri, get_task("asr"))
    assert (plan.rows, idle_stages(get_task("asr"), plan.schema)) == (1, idle)


def test_text_serves_where_a_caption_is_absent(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"text": ["rain"]}))
    assert make_plan(uri, get_task("tta")).rows == 1


def test_duplicate_ids_are_refused_with_examples_also_across_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table({"id": ["x", "y"], "text": ["a", "b"]}))
    write(tmp_path / "b.parquet", pa.table({"id": ["z", "y"], "text": ["c", "d"]}))
    with pytest.raises(UsageError, match=r"1 ids occur more than once, such as 'y'; make every id"):
        make_plan(str(tmp_path), TTS)


def test_equal_rows_without_ids_are_refused_with_the_remedy(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"text": ["a", "b", "a"]}))
    with pytest.raises(UsageError, match="add an 'id' column"):
        make_plan(uri, TTS)


def test_equal_lines_of_a_text_file_are_different_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("yes\nyes\n")
    assert make_plan(str(tmp_path / "a.txt"), TTS).rows == 2


@pytest.mark.parametrize("ids", [["a", None], ["a", ""]])
def test_absent_ids_are_refused(tmp_path: Path, ids: list[str | None]) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"id": ids, "text": ["a", "b"]}))
    with pytest.raises(UsageError, match="row 1 has no id"):
        make_plan(uri, TTS)


def test_files_that_disagree(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table({"text": ["a"], "n": [1]}))
    write(tmp_path / "b.parquet", pa.table({"text": ["b"], "n": [["x"]]}))
    with pytest.raises(UsageError, match="disagree"):
        make_plan(str(tmp_path), TTS)


def test_only_units_whose_rows_changed_get_another_fingerprint(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(9)]
    prints = []
    for changed in (None, 4):
        rows = [f"{text}!" if n == changed else text for n, text in enumerate(texts)]
        ids = [str(n) for n in range(9)]
        uri = write(tmp_path / "a.parquet", pa.table({"id": ids, "text": rows}))
        prints.append([unit.fingerprint for unit in make_plan(uri, TTS, 3).units])
    same = [one == two for one, two in zip(*prints, strict=True)]
    assert same == [True, False, True]


def test_bytes_that_are_not_read_are_known_by_their_file(tmp_path: Path) -> None:
    prints = []
    for data in (b"one", b"other"):
        table = pa.table({"id": ["a"], "audio": [data]})
        uri = write(tmp_path / "a.parquet", table)
        prints.append(make_plan(uri, get_task("asr")).units[0].fingerprint)
    assert prints[0] != prints[1]


def test_a_changed_file_changes_its_units(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"id": ["a"], "text": ["one"]}))
    before = make_plan(uri, TTS).units[0].fingerprint
    assert make_plan(uri, TTS).units[0].fingerprint == before
    write(tmp_path / "a.parquet", pa.table({"id": ["a"], "text": ["another"]}))
    assert make_plan(uri, TTS).units[0].fingerprint != before


def test_ids_of_a_wrong_type_are_refused_with_the_file(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"id": [1.0], "text": ["a"]}))
    with pytest.raises(UsageError, match=r"a\.parquet: column 'id' has type double"):
        make_plan(uri, TTS)


def test_ids_that_differ_by_type_alone_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n')
    with pytest.raises(UsageError, match="such as '1'"):
        make_plan(str(tmp_path / "a.jsonl"), TTS)


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(UsageError, match="'text' occurs more than once"):
        make_plan(write(tmp_path / "a.parquet", table), TTS)


def test_a_manifest_of_nothing_but_broken_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("broken\nbroken\n")
    with pytest.raises(UsageError, match=r"a\.jsonl: no row .* the first: line 1: Expecting value"):
        make_plan(str(tmp_path / "a.jsonl"), TTS)
