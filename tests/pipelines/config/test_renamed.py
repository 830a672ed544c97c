"""Settings by their old names: they work wherever settings come from, and a line says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import renamed
from pipelines.config.job import JobConfig
from pipelines.config.make_job import make_job
from pipelines.config.renamed import current_names
from pipelines.config.settings import EncodeConfig
from pipelines.errors import UsageError

GIVEN: dict[str, Any] = {"task": "asr", "input": "in", "output": "out"}
TIGHT = JobConfig(**GIVEN, encode=EncodeConfig(padding="tight"))
SAID = "setting 'encode.context' is called 'encode.padding' today; the old name still works\n"


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    renamed._say_once.cache_clear()


def test_the_old_name_works_from_everywhere_and_is_spoken_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("encode: {context: tight}\n")
    jobs = [
        make_job(GIVEN, str(path)),
        make_job(GIVEN, sets=("encode.context=tight",)),
        JobConfig(**GIVEN, encode={"context": "tight"}),  # type: ignore[arg-type]
        JobConfig(**GIVEN, encode=EncodeConfig(context="tight")),  # type: ignore[call-arg]
        make_job(GIVEN, str(path), ("encode.padding=tight",)),
    ]
    assert jobs == [TIGHT] * len(jobs)
    assert capsys.readouterr() == ("", SAID)


def test_set_goes_before_the_file_by_whichever_name(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    for in_file, name in (("context", "padding"), ("padding", "context")):
        path.write_text(f"encode: {{{in_file}: periodic}}\n")
        assert make_job(GIVEN, str(path), (f"encode.{name}=tight",)) == TIGHT


def test_today_s_name_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_job(GIVEN, sets=("encode.padding=tight",)) == TIGHT
    assert capsys.readouterr() == ("", "")


def test_what_an_earlier_run_recorded_is_read_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = Path(__file__).parents[1] / "outputs_of_old/tok/run.json"
    run = json.loads(old.read_text())
    job = make_job({}, recorded=run["config"])
    assert job.encode.padding == run["config"]["encode"]["context"] == "periodic"
    assert job.identity().items() >= {"context": "periodic"}.items()
    assert "padding" not in job.identity()  # two runs are one job as they were before
    assert capsys.readouterr() == ("", "")


def test_both_names_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("encode: {context: tight, padding: periodic}\n")
    with pytest.raises(UsageError, match=r"job\.yaml: 'encode.context' is the old name of .*leave"):
        make_job(GIVEN, str(path))
    with pytest.raises(ValueError, match=r"old name of .*, and both are given"):
        EncodeConfig(context="tight", padding="tight")  # type: ignore[call-arg]


def test_a_value_of_an_old_name_is_checked_as_the_new_one_s() -> None:
    with pytest.raises(UsageError, match=r"encode.padding: 'loose' is not valid: .*'tight'"):
        make_job(GIVEN, sets=("encode.context=loose",))


def test_a_setting_may_move_to_another_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "RENAMED", {"a": "b.c", "b.d.e": "f"})
    values = {"a": None, "b": {"d": {"e": 2, "g": 3}}}
    assert current_names(values) == {"b": {"c": None, "d": {"g": 3}}, "f": 2}
    assert values == {"a": None, "b": {"d": {"e": 2, "g": 3}}}
    assert current_names([1]) == [1]


def test_every_new_name_is_a_setting_and_no_old_one_is() -> None:
    def exists(dotted: str) -> bool:
        place: Any = JobConfig(**GIVEN).model_dump()
        for key in dotted.split("."):
            if key not in place:
                return False
            place = place[key]
        return True

    for old, new in renamed.RENAMED.items():
        assert exists(new)
        assert not exists(old)
