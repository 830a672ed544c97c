from __future__ import annotations

import json
import sys

import pytest

from pipelines.cli.checks.warm_command import seconds_of
from pipelines.cli.commands import main
from pipelines.errors import UsageError
from pipelines.executor.pools import warm_actors
from tests.pipelines.executor.pools.test_warm_actors import asked, claimed


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["uniaudio2", "warm", "--address", "auto", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (None, None)]
)
def test_times(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1m", "10 minutes", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be a time such as"):
        seconds_of(text)


@pytest.mark.usefixtures("cluster")
def test_what_is_kept_warm_is_told_and_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claimed("one")
    assert run(monkeypatch) == 0
    assert "decode" in (said := capsys.readouterr().out)
    assert "at work; 1 run, 0 units" in said
    warm_actors.release(asked("one"))
    assert run(monkeypatch, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["owner"]) == ("warm", warm_actors.owner())
    assert 0 < told["ends_in_s"] <= 60
    assert run(monkeypatch, "--end") == 0
    assert capsys.readouterr().out == "ended 1 worker\n"
    assert run(monkeypatch) == 0
    assert "no workers are kept warm there" in capsys.readouterr().out
