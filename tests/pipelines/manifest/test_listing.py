"""Links of a local INPUT: followed and counted, or rows that fail; none vanishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.names import FAULT_COLUMN
from actors.stages.load import Loader
from pipelines.config.input_settings import InputRules
from pipelines.errors import UsageError
from pipelines.manifest.tables.options import LinkPolicy
from pipelines.planning.plan import Plan, make_plan, passthrough_schema
from uniaudio2.tasks.table import get_task

TOKENIZE, TTS = get_task("tokenize"), get_task("tts")


def loaded(plan: Plan, task: str = "tokenize") -> dict[str, tuple[str | None, str | None]]:
    """Kind and message of every row, by id."""
    loader = Loader(get_task(task), passthrough_schema(plan.schema))
    tables = [loader(unit.to_table()) for unit in plan.units]
    table = pa.concat_tables([t.select(["id", "error_kind", "error_message"]) for t in tables])
    rows = table.to_pylist()
    return {row["id"]: (row["error_kind"], row["error_message"]) for row in rows}


@pytest.fixture
def corpus(tmp_path: Path, make_audio: Callable[..., Path]) -> Path:
    """``in`` with a file, links to files in and out of it, and links to folders in and out."""
    for name in ("in/own.wav", "in/sub/inner.wav", "out/a.wav", "out/b.wav", "out/deep/c.wav"):
        make_audio(name)
    root = tmp_path / "in"
    (root / "near.wav").symlink_to(root / "own.wav")
    (root / "far.wav").symlink_to(tmp_path / "out/a.wav")
    (root / "there").symlink_to(tmp_path / "out")
    (root / "again").symlink_to(root / "sub")
    return root


def test_links_are_followed_and_the_plan_says_where_to(corpus: Path, tmp_path: Path) -> None:
    plan = make_plan(str(corpus), TOKENIZE)
    rows = loaded(plan)
    assert sorted(rows) == [
        "far.wav", "near.wav", "own.wav", "sub/inner.wav",
        "there/a.wav", "there/b.wav", "there/deep/c.wav",
    ]  # fmt: skip
    assert {kind for kind, _ in rows.values()} == {None}
    (note,) = plan.notes
    assert note.startswith("2 links lead out of INPUT and are followed: ")
    assert f"'far.wav' to '{tmp_path}/out/a.wav'" in note
    assert f"'there/' to '{tmp_path}/out'" in note
    assert "input.links=refuse" in note


def test_refused_links_are_rows_that_fail(corpus: Path) -> None:
    plan = make_plan(str(corpus), TOKENIZE, rules=InputRules(links="refuse"))
    rows = loaded(plan)
    assert sorted(rows) == ["far.wav", "near.wav", "own.wav", "sub/inner.wav", "there/"]
    for name in ("far.wav", "there/"):
        kind, message = rows[name]
        assert kind == "bad_manifest_row"
        assert f"'{name}' is a link that leads out of INPUT" in str(message)
        assert "--set input.links=follow" in str(message)
    assert [rows[name][0] for name in ("near.wav", "own.wav", "sub/inner.wav")] == [None] * 3
    assert plan.notes[0].startswith("2 links lead out of INPUT and are refused")


def test_a_folder_without_links_out_has_no_note(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in/c.wav").symlink_to("a.wav")
    (tmp_path / "through").symlink_to("in")
    for links in ("follow", "refuse"):
        plan = make_plan(str(tmp_path / "through"), TOKENIZE, rules=InputRules(links=links))  # type: ignore[arg-type]
        assert (plan.rows, plan.notes) == (3, ())


@pytest.mark.timeout(20)
def test_circles_end(tmp_path: Path) -> None:
    root = tmp_path / "x/in"
    for name in ("a", "b", "c/d"):
        (root / name).mkdir(parents=True)
        (root / name / "s.wav").touch()
    for place in ("a", "b", "c/d"):
        for number, target in enumerate((root, root / "a", root / "c", tmp_path, tmp_path / "x")):
            (root / place / f"round{number}").symlink_to(target)
    (root / "self").symlink_to("self")
    plan = make_plan(str(root), TOKENIZE)
    assert plan.rows == 3
    # what those above INPUT hold besides is not read, and that is said
    (note,) = plan.notes
    assert note.startswith("6 links, such as 'a/round3/', lead to folders that hold INPUT itself")


def test_folders_outside_that_lead_to_each_other_are_listed_once(tmp_path: Path) -> None:
    for name in ("in", "one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/a.wav").touch()
    (tmp_path / "one/two").symlink_to(tmp_path / "two")
    (tmp_path / "two/b.wav").touch()
    (tmp_path / "two/one").symlink_to(tmp_path / "one")
    (tmp_path / "in/first").symlink_to(tmp_path / "one")
    (tmp_path / "in/second").symlink_to(tmp_path / "two")
    plan = make_plan(str(tmp_path / "in"), TOKENIZE, unit_rows=9)
    assert plan.units[0].read()["id"].to_pylist() == ["first/a.wav", "second/b.wav"]


@pytest.mark.parametrize("links", ["follow", "refuse"])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "tar"])
def test_manifests_of_a_folder(suffix: str, links: LinkPolicy, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for place, name in (("in", "a"), ("out", "b")):
        path = tmp_path / place / f"{name}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        _write(path, name)
    (tmp_path / f"in/z.{suffix}").symlink_to(tmp_path / f"out/b.{suffix}")
    plan = make_plan(str(tmp_path / "in"), TTS, rules=InputRules(links=links))
    rows = loaded(plan, "tts")
    assert plan.notes[0].startswith("1 links lead out")
    assert rows["a"] == (None, None)
    if links == "follow":
        assert rows["b"] == (None, None)
    else:
        kind, message = rows[f"z.{suffix}"]
        assert kind == "bad_manifest_row"
        assert "leads out of INPUT" in str(message)


def _write(path: Path, name: str) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"id": [name], "text": ["words"]}), path)
    elif path.suffix == ".jsonl":
        path.write_text(f'{{"id": "{name}", "text": "words"}}')
    else:
        import io
        import tarfile

        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(f"{name}.txt")
            member.size = 5
            archive.addfile(member, io.BytesIO(b"words"))


def test_rows_of_numbered_files_stand_beside_those_that_fail(tmp_path: Path) -> None:
    """Ids may be numbers; the name of a refused file is one that is none."""
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": [1, 2], "text": ["a", "b"]}), tmp_path / "in/a.parquet")
    pq.write_table(pa.table({"id": [3], "text": ["c"]}), tmp_path / "b.parquet")
    (tmp_path / "in/b.parquet").symlink_to(tmp_path / "b.parquet")
    plan = make_plan(str(tmp_path / "in"), TTS, rules=InputRules(links="refuse"))
    assert sorted(loaded(plan, "tts")) == ["1", "2", "b.parquet"]


def test_a_glob_of_links(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    make_audio("in/a.wav")
    (tmp_path / "in/b.wav").symlink_to(make_audio("out/b.wav"))
    assert make_plan(f"{tmp_path}/in/*.wav", TOKENIZE).rows == 2
    rows = loaded(make_plan(f"{tmp_path}/in/*.wav", TOKENIZE, rules=InputRules(links="refuse")))
    assert [kind for kind, _ in rows.values()] == [None, "bad_manifest_row"]


def test_code_pairs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a_semantic.pt").touch()
    (tmp_path / "in/b_semantic.pt").symlink_to(tmp_path / "b_semantic.pt")
    plan = make_plan(
        str(tmp_path / "in"), get_task("detokenize"), unit_rows=2, rules=InputRules(links="refuse")
    )
    first, second = plan.units[0].read().to_pylist()
    assert (first["id"], first[FAULT_COLUMN]) == ("a", None)
    assert "'b_semantic.pt' is a link" in second[FAULT_COLUMN]


def test_a_secret_is_not_taken_for_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_text('{"id": "a", "text": "words"}')
    (tmp_path / "token.cache").write_text('{"id": "hunter2", "text": "hunter2"}')
    (tmp_path / "in/b.jsonl").symlink_to(tmp_path / "token.cache")
    # a cache of a hub names files by what is in them, and a corpus links to it
    blob = tmp_path / ("0f" * 32)
    blob.write_text('{"id": "c", "text": "words"}')
    (tmp_path / "in/c.jsonl").symlink_to(blob)
    plan = make_plan(str(tmp_path / "in"), TTS)
    rows = loaded(plan, "tts")
    assert (rows["a"], rows["c"]) == ((None, None), (None, None))
    assert "another kind of name; copy the file" in str(rows["b.jsonl"][1])
    assert "hunter2" not in str(rows)


def test_folders_that_cannot_be_listed_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "b").mkdir()
    from pipelines.manifest import listing

    listed = listing.os.scandir

    def scandir(path: str) -> object:
        if path.endswith("/b"):  # this test may run as root, who may read all
            raise PermissionError(path)
        return listed(path)

    monkeypatch.setattr(listing.os, "scandir", scandir)
    (note,) = make_plan(str(tmp_path), TOKENIZE).notes
    assert "1 folders of INPUT cannot be read" in note


def test_a_folder_of_nothing_but_refused_links(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.wav").symlink_to(tmp_path / "a.wav")
    with pytest.raises(UsageError, match=r"no row can be understood; the first: 'a\.wav' is"):
        make_plan(str(tmp_path / "in"), TOKENIZE, rules=InputRules(links="refuse"))


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv", "txt.gz"])
@pytest.mark.parametrize("by", ["name", "pattern"])
def test_a_text_file_that_is_a_link_to_something_else(tmp_path: Path, suffix: str, by: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private/id_rsa").write_text("Xq7vJ2kPz9Wm\n")
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/a.{suffix}").symlink_to(tmp_path / "private/id_rsa")
    where = str(tmp_path / "in" / (f"a.{suffix}" if by == "name" else f"*.{suffix}"))
    with pytest.raises(UsageError, match="link out of INPUT") as told:
        make_plan(where, TTS)
    assert "Xq7v" not in str(told.value)


def test_a_manifest_by_name_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/v2.txt").write_text("yes\n")
    (tmp_path / "a.txt").symlink_to("there/v2.txt")
    assert make_plan(str(tmp_path / "a.txt"), TTS).notes == ()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").symlink_to("../there/v2.txt")
    plan = make_plan(str(tmp_path / "in/a.txt"), TTS)
    assert plan.rows == 1
    assert "1 links lead out of INPUT and are followed" in plan.notes[0]
    with pytest.raises(UsageError, match=r"input\.links=follow"):
        make_plan(str(tmp_path / "in/a.txt"), TTS, rules=InputRules(links="refuse"))
