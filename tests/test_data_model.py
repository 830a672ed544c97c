"""docs/data-model.md says of every object of an OUTPUT what the code really writes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.error_rows import ERRORS_SCHEMA
from actors.batch.names import UNVERIFIED
from actors.batch.stage_times import StageTime
from actors.stages.write import result_fields
from actors.storage.object_store import Storage
from actors.verify.sifting import VERIFY_FIELDS
from pipelines import JobConfig, run_job
from pipelines.config.job import truncated_task
from pipelines.config.scored import timed_task, voiced_task
from pipelines.config.settings import PoolName
from pipelines.run_state.commit_log import DRIVER, REPORT, RUN, CommitLog
from pipelines.run_state.commit_record import FORMAT_VERSION, OWN, Commit
from pipelines.run_state.lease import Lease
from tests.support.documents import sections, table_rows
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tasks.table import TASKS

ROOT = Path(__file__).parents[1]
PAGE = sections(ROOT / "docs/data-model.md")
SUFFIX = re.compile(r"_\d$")
OF_EXPORTS = {"unsafe_name", "unreadable_row", "input_of_another"}


def columns_of(title: str) -> dict[str, str]:
    """First and second cells of the first table below a heading."""
    return {row[0].strip("`"): row[1].strip("`") for row in table_rows(PAGE[title])}


def shown_type(field: pa.Field) -> str:
    """A type without the names that Arrow and Parquet give to the inside of lists."""
    return re.sub(r"\b(item|element): ", "", str(field.type))


def is_of_kind(value: Any, kind: str) -> bool:
    """Whether a JSON value is of a kind that the page names."""
    if " or " in kind:
        return any(is_of_kind(value, one) for one in kind.split(" or "))
    kind, _, inner = kind.partition(" of ")
    if inner:
        values = value.values() if kind == "object" else value
        container = isinstance(value, dict if kind == "object" else list)
        return container and all(is_of_kind(one, inner.removesuffix("s")) for one in values)
    kinds: dict[str, Any] = {
        "integer": int, "number": (int, float), "text": str, "null": type(None), "object": dict,
        "pair": list,
    }  # fmt: skip
    return isinstance(value, kinds[kind]) and not isinstance(value, bool)


def check(record: dict[str, Any], told: dict[str, str]) -> None:
    assert set(record) == set(told)
    assert [name for name, kind in told.items() if not is_of_kind(record[name], kind)] == []


def all_tasks() -> Iterator[TaskSpec]:
    """Every task, whole and cut behind each of its stages."""
    yield voiced_task(TASKS["prompt_instruct_tts"], "voices.jsonl")
    for task in TASKS.values():
        yield timed_task(task, "word")
        for stage in get_args(PoolName):
            if stage in task.stages:
                yield truncated_task(task, stage)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of a task that generates and decodes, one of whose rows fails."""
    folder = tmp_path_factory.mktemp("run")
    manifest, out = folder / "in.jsonl", folder / "out"
    manifest.write_text('{"id": "a", "text": "hi"}\n{"id": "b", "text": " "}\n')
    names = {"task": "tts", "input": str(manifest), "output": str(out), "model": "tiny"}
    assert run_job(JobConfig(**names, executor="inline")).exit_code == 3
    return out


def test_data_columns() -> None:
    found = {
        (SUFFIX.sub("", field.name), shown_type(field))
        for task in all_tasks()
        for keep_codes in (False, True)
        for field in result_fields(task, keep_codes)
    }
    assert found == set(columns_of("`data/part-*.parquet`").items())


def test_data_columns_stand_in_this_order() -> None:
    told = list(columns_of("`data/part-*.parquet`"))
    for task in all_tasks():
        names = [SUFFIX.sub("", field.name) for field in result_fields(task, True)]
        assert [*dict.fromkeys(names)] == [name for name in told if name in names], task.name


def test_columns_of_a_rule() -> None:
    page = sections(ROOT / "docs/verify.md")["What a row says of it"]
    told = {row[0].strip("`"): row[1].strip("`") for row in table_rows(page)}
    assert [(field.name, shown_type(field)) for field in VERIFY_FIELDS] == [*told.items()]


def test_errors_columns() -> None:
    told = columns_of("`errors/part-*.parquet`")
    assert [(field.name, str(field.type)) for field in ERRORS_SCHEMA] == [*told.items()]


def test_kinds_of_error() -> None:
    """Every kind that the source can give a row is told, and no other."""
    told = {kind for row in table_rows(PAGE["Kinds of error"]) for kind in re.findall(r"`(\w+)`",
            row[0])}  # fmt: skip
    raised = {"crash", "fault", "out_of_memory"}  # given to rows by the driver, as `store_crash`
    raised.add(UNVERIFIED)  # by `Sifter`
    raised |= {
        "too_many_requests",
        "unavailable",
    }  # named by what a server answers, `kind_of_status`
    for package in ("uniaudio2", "actors", "pipelines"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                named = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadRow"
                for one in ast.walk(node.args[0]) if named and node.args else ():  # type: ignore[attr-defined]
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        raised.add(one.value)
    assert told == raised - OF_EXPORTS


def test_records_of_a_real_run(output: Path) -> None:
    commits = [json.loads(path.read_text()) for path in output.glob("_log/units/*.json")]
    assert commits
    stages = [call for commit in commits for call in commit["stages"]]
    told = PAGE["Commit records"].partition("A call in `stages`")
    of_calls = {row[0].strip("`"): row[1] for row in table_rows(told[2])}
    for commit in commits:
        check(commit, columns_of("Commit records"))
    for call in stages:
        check(call, of_calls)
    assert {field.name for field in fields(Commit)} == set(columns_of("Commit records"))
    assert {field.name for field in fields(StageTime)} == set(of_calls)
    run = json.loads((output / RUN).read_text())
    check(run, columns_of("`run.json`"))
    for inner in ("model", "input", "setup", "counts", "audio"):
        row = next(row for row in table_rows(PAGE["`run.json`"]) if row[0] == f"`{inner}`")
        assert set(run[inner]) == set(re.findall(r"`(\w+)`", row[2])), inner


def test_the_lease() -> None:
    lease = Lease(Storage("/nowhere"))
    check(json.loads(lease._mine()), columns_of("`_log/driver.json`"))


def test_every_object_of_a_real_run_is_told(output: Path) -> None:
    told = [row[0].strip("`") for row in table_rows(PAGE["Objects"])]
    shapes = {re.sub(r"[0-9a-f]{8,}|happy-dog|\d{4}", "N", path) for path in told}
    for path in filter(Path.is_file, output.rglob("*")):
        name = str(path.relative_to(output))
        shape = re.sub(r"(?<=/)a-(?=[0-9a-f]{20})", "happy-dog-", name)
        assert re.sub(r"[0-9a-f]{8,}|happy-dog|\d{4}", "N", shape) in shapes, name


def test_every_object_that_is_told_is_one_of_ours() -> None:
    for row in table_rows(PAGE["Objects"]):
        path = row[0].strip("`")
        assert path in (RUN, REPORT, DRIVER) or OWN.fullmatch(path), path


def test_parts_hold_what_is_told(output: Path) -> None:
    told = columns_of("`data/part-*.parquet`")
    log = CommitLog(Storage(str(output)))
    parts = [output / path for commit in log.each_commit() for path in commit.data]
    for part in parts:
        schema = pq.read_schema(part)
        results = list(schema)[: schema.get_field_index("model") + 1]
        assert [(f.name, shown_type(f)) for f in results] == [
            (f.name, told[f.name]) for f in results
        ]
        assert schema.names[len(results) :] == ["text"]  # of the manifest
    assert parts


def test_the_version() -> None:
    row = next(row for row in table_rows(PAGE["Versions"]) if "run.json" in row[0])
    assert row[1] == str(FORMAT_VERSION)
