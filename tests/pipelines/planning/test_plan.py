"""Units cover the manifest exactly once, and what cannot run is refused first."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.unit import row_ids
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.planning.plan import idle_stages, make_plan, passthrough_schema
from pipelines.planning.row_index import named_contents
from pipelines.planning.units import cutting
from pipelines.planning.units.cutting import unit_size
from uniaudio2.tasks.table import get_task

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


@pytest.mark.parametrize(
    ("task", "rows", "size"),
    [
        ("asr", 1, 1), ("asr", 40, 5), ("asr", 256, 32), ("asr", 32_768, 32), ("asr", 65_536, 64),
        ("asr", 10**8, 1024), ("text_only", 10**6, 977), ("tts", 10**6, 128),
        ("reconstruct", 10**8, 128),
    ],
)  # fmt: skip
def test_units_grow_with_the_manifest_up_to_what_stages_hold(
    task: str, rows: int, size: int
) -> None:
    assert unit_size(get_task(task), rows) == size
    # records of format 1 know their rows by the units that they were cut into then
    assert unit_size(get_task(task), rows, has_former_ids=True) == min(size, 32)


def test_audio_of_which_nothing_is_told_is_no_reason_for_large_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "_MANY_UNITS", 10)
    rows = {"id": [str(n) for n in range(700)], "audio": ["a.wav"] * 700}
    for duration, size in ((None, 32), (2.0, 70), (60.0, 20)):
        told = {"duration": pa.array([duration] * 700, pa.float64())}
        uri = write(tmp_path / "a.parquet", pa.table({**rows, **told}))
        assert make_plan(uri, get_task("asr")).units[0].row_count == size


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


def test_equal_lines_of_a_text_file_are_different_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("yes\nyes\n")
    assert make_plan(str(tmp_path / "a.txt"), TTS).rows == 2


@pytest.mark.parametrize("ids", [["a", None], ["a", ""]])
def test_absent_ids_are_refused(tmp_path: Path, ids: list[str | None]) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"id": ids, "text": ["a", "b"]}))
    with pytest.raises(UsageError, match="row 1 has no id"):
        make_plan(uri, TTS)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_columns_that_are_empty_in_one_file_are_of_the_next_one_s_type(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    """Parquet of empty lists is of `list<null>`, and of nulls alone of `null`."""
    rows = [
        {"id": "0", "text": "a", "tags": [], "facts": None, "note": None},
        {"id": "1", "text": "b", "tags": ["x"], "facts": {"k": 1}, "note": "s"},
    ]
    for place, number in enumerate(order):
        write(tmp_path / f"{place}.parquet", pa.Table.from_pylist([rows[number]]))
    plan = make_plan(str(tmp_path), TTS)
    loader = Loader(TTS, passthrough_schema(plan.schema))
    tables = [loader(unit.to_table()) for unit in plan.units]
    assert [table["error_kind"].to_pylist() for table in tables] == [[None], [None]]
    for table, number in zip(tables, order, strict=True):
        wanted = {name: value for name, value in rows[number].items() if name != "id"}
        assert table["input"].to_pylist() == [wanted]


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
    uri = write(tmp_path / "a.parquet", pa.table({"id": [True], "text": ["a"]}))
    with pytest.raises(UsageError, match=r"a\.parquet: column 'id' has type bool"):
        make_plan(uri, TTS)


def test_an_id_that_is_not_a_number_is_none(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"id": [1.0, float("nan")], "text": ["a", "b"]}))
    with pytest.raises(UsageError, match="row 1 has no id"):
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


# what planning a manifest costs a process, in MiB
_GROWTH = """
import sys
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task
def peak():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) // 1024
task, before = get_task("tts"), peak()
plan = make_plan(sys.argv[1], task, limit=int(sys.argv[2]) or None)
print(plan.rows, peak() - before)
"""


def growth(uri: Path, limit: int) -> tuple[int, int]:
    """Rows of the plan, and MiB that it took."""
    answer = subprocess.run(
        [sys.executable, "-c", _GROWTH, str(uri), str(limit)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows, grown = map(int, answer.stdout.split())
    return rows, grown


@pytest.mark.slow
def test_one_row_of_a_large_manifest_costs_one_block(tmp_path: Path) -> None:
    block = b'{"text":"aa"}\n' * 75_000  # a megabyte
    with gzip.open(tmp_path / "m.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(block)
    rows, grown = growth(tmp_path / "m.jsonl.gz", 1)
    assert rows == 1
    assert grown < 150


@pytest.mark.slow
def test_a_whole_manifest_costs_little_more_than_its_text(tmp_path: Path) -> None:
    with (tmp_path / "m.jsonl").open("w") as file:
        for row in range(50_000):
            facts = {"id": f"u{row}", "text": f"word{row} " * 80, "speaker": f"s{row % 9}"}
            print(json.dumps(facts), file=file)
    size = (tmp_path / "m.jsonl").stat().st_size >> 20
    rows, grown = growth(tmp_path / "m.jsonl", 0)
    assert rows == 50_000
    assert grown < 70 + 2 * size  # 70 are Arrow's and this program's own


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "txt"])
@pytest.mark.parametrize("where", ["local", "s3"])
def test_no_more_is_read_than_a_limit_asks_for(
    suffix: str, where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What comes after the first million characters and rows is not even looked at."""
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    texts = [f"{n} {'x' * 1000}" for n in range(2000)]
    lines = [json.dumps({"text": text}) for text in texts] if "json" in suffix else texts
    last = '{"text": "y", "new": 1}' if "json" in suffix else "y"
    head = ["text"] if suffix == "csv" else []
    data = "\n".join([*head, *lines, last, ""]).encode()
    if suffix.endswith(".gz"):
        data = gzip.compress(data) + b"not gzip"
    Storage(root).put(f"m.{suffix}", data)
    plan = make_plan(f"{root}/m.{suffix}", TTS, limit=5)
    assert plan.rows == 5
    assert "new" not in plan.schema.names
    short = "\n".join([*head, *lines[:20], last, ""]).encode()
    packed = gzip.compress(short) if suffix.endswith(".gz") else short
    Storage(root).put(f"n/m.{suffix}", packed)
    small = make_plan(f"{root}/n/m.{suffix}", TTS, limit=5)  # as it is without a limit
    assert ("new" in small.schema.names) == ("json" in suffix)


def test_damage_behind_the_first_blocks_is_found_without_a_limit(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"{n} " * 200}) for n in range(4000)]
    data = gzip.compress("\n".join(lines).encode())
    for name, damaged in (("a", data + b"not gzip"), ("b", data[:-9]), ("c", data[:-900])):
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match=r"gzip: it is .*; fetch the file again") as caught:
            make_plan(str(path), TTS)
        assert "b'" not in str(caught.value)
        assert make_plan(str(path), TTS, limit=1).rows == 1


def test_a_limit_is_shared_by_the_files_of_a_folder(tmp_path: Path) -> None:
    for name in "abc":
        lines = [json.dumps({"id": f"{name}{n}", "text": "x" * 1000}) for n in range(600)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "d.jsonl").write_text('{"id": "a0", "text": "a repeated id"}')
    plan = make_plan(str(tmp_path), TTS, limit=700)
    assert plan.rows == 700
    assert [Path(source).name for source in plan.sources] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(UsageError, match="such as 'a0'"):
        make_plan(str(tmp_path), TTS)


def test_the_cap_is_met_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.manifest.files._MAX_TEXT_BYTES", 2_600_000)
    path = tmp_path / "m.txt.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(3):
            file.write(b"x" * 999_999 + b"\n")
    with pytest.raises(UsageError, match=r"than 2600000 bytes; keep a larger manifest as Parquet$"):
        make_plan(str(path), TTS)
    assert make_plan(str(path), TTS, limit=1).rows == 1


def test_column_names_are_printed_safely(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", pa.table({"\x1b[2Jwords\u202e": ["a"], "b": ["c"]}))
    with pytest.raises(UsageError, match=r"the manifest has \\x1b\[2Jwords\\u202e, b") as caught:
        make_plan(uri, TTS)
    assert str(caught.value).isprintable()
    many = {f"column {number}": ["x"] for number in range(50)}
    with pytest.raises(UsageError, match="and 30 more"):
        make_plan(write(tmp_path / "b.parquet", pa.table(many)), TTS)


def test_hashes_of_rows_stay_what_they_were(tmp_path: Path) -> None:
    """They are in the records of OUTPUTs, which must go on where they were."""
    rows = [
        '{"text": "a", "n": 1}',
        "broken",
        '{"text": "ä", "n": 1.5, "x": {"b": [1], "a": null}}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    (tmp_path / "a.csv").write_text('id,text\n1,"a\nb"\n2,c,d\n')
    found = []
    for name in ("a.jsonl", "a.csv"):
        (source,) = find_sources(str(tmp_path / name))
        contents = named_contents(source, source.rows)
        found.append([content.hex() for _, content in contents])
    assert found == [
        ["9e5b949d191a476077db", "5b213d519993990ea42e", "6be70b96724afecec9f2"],
        ["b44a279425f857f8c322", "0be5da820a7236615856"],
    ]
