"""Rows that break a rule are made again: each by seeds of its own, whatever happens to the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.batch.names import ATTEMPTS_FOLDER
from pipelines import RunFailed, UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.cli.views.closing import closing_lines
from pipelines.config.make_job import make_job
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.run_state.status import read_status, verify
from tests.pipelines.jobs.attempted import ROWS, RULE, Stopping, results, run, settings, texts
from tests.pipelines.jobs.test_run import read_errors
from uniaudio2.seeds import attempt_seed, row_seed


def test_of_rows_that_fail_later_draws_are_taken_and_all_are_told(whole: Path) -> None:
    found = results(whole)
    assert len(found) == ROWS
    assert {row["attempts"] for row in found.values()} == {1, 2, 3}
    for name, row in found.items():
        failed = row["failed_attempts"] or []
        seeds = [row_seed(attempt_seed(0, n), name) for n in range(3)]
        assert [one["seed"] for one in failed] == seeds[: len(failed)]
        assert [one["attempt"] for one in failed] == list(range(len(failed)))
        assert all(one["rank"] <= -2.0 for one in failed)
        if row["verified"]:
            assert row["score_peak_dbfs"] < 2.0
            assert row["attempts"] == len(failed) + 1
            assert row["verify_reason"] is None
            kept = len(failed)
        else:
            ranks = [one["rank"] for one in failed]
            kept = ranks.index(max(ranks))
            assert row["score_peak_dbfs"] == -max(ranks)
            assert row["verify_reason"] == failed[kept]["reason"]
            assert row["attempts"] == len(failed) == 3
        assert row["seed"] == seeds[kept]
    assert any(not row["verified"] for row in found.values())


def test_nothing_of_what_lost_is_left(whole: Path) -> None:
    assert verify(str(whole)) == []
    assert not list(whole.glob(f"{ATTEMPTS_FOLDER}/*"))
    named = {row["audio_path"] for row in read_results(str(whole))}
    assert {str(path.relative_to(whole)) for path in whole.rglob("*.flac")} == named
    assert read_status(str(whole)).ok == ROWS


def test_marks_count_rows_that_were_made_again(whole: Path) -> None:
    found = results(whole).values()
    marks = read_status(str(whole)).marks
    assert marks["made_again"] == sum(row["attempts"] > 1 for row in found)
    assert marks["unverified"] == sum(not row["verified"] for row in found)
    assert marks["verified"] == sum(row["verified"] for row in found)


def test_people_are_told_how_many_keep_the_rule(whole: Path) -> None:
    result = run(str(whole.parent / "texts.jsonl"), whole)  # nothing is left to do
    found = results(whole).values()
    kept, again = sum(row["verified"] for row in found), sum(row["attempts"] > 1 for row in found)
    told = f"rule:    {kept} of {ROWS} rows keep it ({kept / ROWS:.1%}); made again: {again}"
    assert told in closing_lines(result)
    page = (whole / "report.html").read_text()
    assert f"{100 * kept / ROWS:.1f} % of the rows keep <code>peak_dbfs &lt; 2.0</code>" in page
    extra = sum(row["attempts"] - 1 for row in found)
    assert f"{extra} further draws" in page
    first = sum(row["attempts"] == 1 for row in found)
    assert f'<td class="n">1</td><td class="n">{ROWS}</td><td class="n">{first}</td>' in page
    assert "loudness: the highest sample" in page
    failing = (row for row in found if not row["verified"])
    worst = max(failing, key=lambda row: row["score_peak_dbfs"])
    assert worst["verify_reason"].replace("<", "&lt;") in page


def test_first_draws_are_those_of_a_job_without_a_rule(whole: Path, tmp_path: Path) -> None:
    run(texts(tmp_path), tmp_path / "out", verify={}, score={"scorers": "loudness"})
    plain, found = results(tmp_path / "out"), results(whole)
    first = {name for name, row in found.items() if row["seed"] == row_seed(0, name)}
    assert 0 < len(first) < ROWS
    for name, row in plain.items():
        assert (found[name]["sound"] == row["sound"]) == (name in first)
        assert name not in first or {k: v for k, v in found[name].items() if k in row} == row


@pytest.mark.parametrize("unit_rows", [1, 5])
def test_neither_batch_nor_order_change_anything(
    whole: Path, tmp_path: Path, unit_rows: int
) -> None:
    source = texts(tmp_path, range(ROWS)[::-1])
    run(source, tmp_path / "out", unit_rows=unit_rows, commit_interval_s=2)
    assert results(tmp_path / "out") == results(whole)


def test_sounds_in_tars_and_tokens_that_are_kept_make_no_difference(
    whole: Path, tmp_path: Path
) -> None:
    """Tokens are kept of an attempt: another one of the same rows takes none of them."""
    output = tmp_path / "out"
    given = {"audio_layout": "tar", "keep": "tokens", "unit_rows": 1}
    with pytest.raises(RunFailed, match="interrupted"):
        run(texts(tmp_path), output, {"executor": Stopping(5)}, **given)
    run(texts(tmp_path), output, **given)
    assert results(output) == results(whole)
    assert verify(str(output)) == []
    tars = {row["audio_path"].partition("/r")[0] for row in read_results(str(output))}
    assert {str(path.relative_to(output)) for path in output.rglob("*.tar")} == tars


def test_rows_that_never_pass_may_be_errors(whole: Path, tmp_path: Path) -> None:
    result = run(texts(tmp_path), tmp_path / "out", verify={**RULE, "unverified": "error"})
    failing = {name for name, row in results(whole).items() if not row["verified"]}
    errors = read_errors(str(tmp_path / "out"))
    assert {row["id"] for row in errors} == failing
    assert result.counts.kinds == {"unverified": len(failing)}
    for row in errors:
        assert (row["stage"], row["attempts"]) == ("verify", 3)
        assert "3 attempts fail the rule; the best: peak_dbfs < 2.0: peak_dbfs is" in row["message"]
        assert json.loads(row["input"])["text"].startswith("yes number")
    with pytest.raises(UsageError, match="had all their attempts"):
        retry_job(recorded_job(str(tmp_path / "out"), executor="inline"))


def test_another_rule_is_another_job(whole: Path, tmp_path: Path) -> None:
    for other in ({**RULE, "rule": "peak_dbfs < 3.0"}, {**RULE, "attempts": 4}, {}):
        with pytest.raises(UsageError, match=r"holds another job: .*verify"):
            run(texts(tmp_path), whole, verify=other, score={"scorers": "loudness"})


def test_rows_that_changed_are_made_again_under_the_rule(whole: Path, tmp_path: Path) -> None:
    """What was made of a row before holds until its own last attempt is done."""
    output = tmp_path / "out"
    source = texts(tmp_path)
    run(source, output)
    before = results(output)
    lines = Path(source).read_text().splitlines()
    for n in (1, 4, 6):
        lines[n] = lines[n].replace("yes", "no")
    Path(source).write_text("\n".join(lines))
    with pytest.raises(RunFailed, match="interrupted"):
        run(source, output, {"executor": Stopping(1)})
    assert len(results(output)) == ROWS
    result = run(source, output)
    found = results(output)
    assert len(found) == result.counts.ok == ROWS
    assert {name for name in found if found[name] != before[name]} == {"r1", "r4", "r6"}
    assert verify(str(output)) == []


def test_a_retry_holds_rows_against_the_rule(
    tmp_path: Path, make_audio: Callable[..., Path]
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out"
    rows = [{"id": f"a{n}", "audio": f"in/a{n}.wav"} for n in range(4)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_audio("in/a0.wav", 0.3)
    rule = {"rule": "duration_s < 0.2", "attempts": 2}
    result = run(str(source), output, task="reconstruct", verify=rule)
    assert (result.counts.ok, result.counts.errors) == (1, 3)
    for n in (1, 2):
        make_audio(f"in/a{n}.wav", 0.1 * n + 0.05)
    again = retry_job(recorded_job(str(output), executor="inline"))
    assert (again.counts.ok, again.counts.errors, again.mended) == (3, 1, 2)
    found = {name: (row["verified"], row["attempts"]) for name, row in results(output).items()}
    assert found == {"a0": (False, 2), "a1": (True, 1), "a2": (False, 2)}
    assert verify(str(output)) == []


@pytest.mark.parametrize(
    ("verify", "told"),
    [
        ({"rule": "peak_dbsf < 2"}, "names 'peak_dbsf', .* did you mean 'peak_dbfs'"),
        ({"rule": "txt = 'yes' and peak_dbfs < 2"}, "'txt', .* did you mean 'text'"),
        ({"rule": "finish_reason = 3"}, "a number and a text are compared"),
        ({"rule": "peak_dbfs <"}, "verify.rule: 'peak_dbfs <': its end"),
        ({"rule": "peak_dbfs < 2", "best": "text"}, "'text' is a text; rows are ranked by numbers"),
        ({"attempts": 4}, "give verify.rule"),
        ({"rule": "peak_dbfs < 2", "attempts": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_rule_costs_nothing(tmp_path: Path, verify: dict[str, Any], told: str) -> None:
    given = {"input": texts(tmp_path), "output": str(tmp_path / "out")}
    with pytest.raises(UsageError, match=told):
        run_job(make_job({**settings(), **given, "verify": verify}))
    assert not (tmp_path / "out").exists()


def test_attempts_that_would_all_be_the_first_are_refused(tmp_path: Path) -> None:
    rule = {"rule": "wer < 0.1", "attempts": 2}
    for task, told in (
        ("score", "draws nothing"),
        ("asr", "most probable text"),
    ):
        with pytest.raises(UsageError, match=told):
            run(str(EXAMPLES / "speech.jsonl"), tmp_path / "out", task=task, verify=rule)
    with pytest.raises(UsageError, match=r"audio\.channel=each"):
        run(
            str(EXAMPLES / "speech.jsonl"), tmp_path / "out", task="reconstruct",
            verify={"rule": "peak_dbfs < 2"}, audio={"channel": "each"},
        )  # fmt: skip


def test_a_name_that_is_a_score_and_a_column_of_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": "a", "text": "yes", "peak_dbfs": 1.0}\n')
    with pytest.raises(UsageError, match="write score_peak_dbfs"):
        run(str(source), tmp_path / "out")


def test_recordings_that_are_there_are_judged_once(tmp_path: Path) -> None:
    """A score that is null breaks the rule, and why is told."""
    source = tmp_path / "in.jsonl"
    rows = json.loads((EXAMPLES / "speech.jsonl").read_text().splitlines()[0])
    rows = [{"id": "a", "audio": str(EXAMPLES / rows["audio"]), "text": "yes"}]
    rows.append({**rows[0], "id": "b", "text": ""})
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rule = {"rule": "duration_s > 0 or input_duration_s > 0 and repetition = 0"}
    with pytest.raises(UsageError, match="'duration_s'"):
        run(str(source), tmp_path / "out", task="score", verify=rule)
    rule = {"rule": "input_duration_s > 0 and repetition = 0"}
    run(str(source), tmp_path / "out", task="score", verify=rule)
    found = {row["id"]: row for row in read_results(str(tmp_path / "out"))}
    assert [found[name]["verified"] for name in "ab"] == [True, False]
    assert found["b"]["verify_reason"].startswith("repetition = 0: repetition is null (the text")
