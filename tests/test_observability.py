"""The board and the alerts of `configs/observability`, against what a real run serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents import sections, table_rows
from tests.support.metrics import free_port, run

pytest.importorskip("prometheus_client", reason="extra [metrics] is not installed")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs/observability"
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana-run.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "rules.yaml").read_text())
# of panels that have nothing to show in a run without errors, or without pools
EMPTY = ("row_errors", "stage_ready", "stage_pending", "stage_queued", "stage_running")


def board_queries() -> list[str]:
    return [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def rule_queries() -> list[str]:
    return [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\buniaudio2_[a-z_]+", text))


def told_names() -> set[str]:
    rows = table_rows(sections(ROOT / "docs/metrics.md")["What is served"])
    return {name for row in rows for name in names_in(row[0])}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of what a run serves, those without a value yet included."""
    port, texts = free_port(), []

    def look(when: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            texts.append(answer.read().decode())

    run(tmp_path_factory.mktemp("served"), port, look)
    return {
        f"{name}{end}"
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", texts[-1], re.M)
        for end in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


@pytest.mark.parametrize("text", [*board_queries(), *rule_queries()])
def test_every_query_names_metrics_that_are_served(text: str, served: set[str]) -> None:
    assert names_in(text)
    assert names_in(text) <= served


def test_the_page_tells_every_metric(served: set[str]) -> None:
    whole = {re.sub("_(bucket|sum|count)$", "", name) for name in served}
    assert told_names() == whole


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian package prometheus)")
    return found


def test_promtool_takes_rules_and_settings() -> None:
    promtool = needs("promtool")
    for what, name in (("rules", "rules.yaml"), ("config", "prometheus.yaml")):
        said = subprocess.run(
            [promtool, "check", what, str(FOLDER / name)], capture_output=True, text=True
        )
        assert said.returncode == 0, said.stdout + said.stderr


def asked(port: int, path: str, **facts: str) -> Any:
    query = urllib.parse.urlencode(facts)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{query}") as answer:
        return json.load(answer)["data"]


def until(found: Any, seconds: float = 60) -> Any:
    """What a call finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if result := found():
                return result
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"nothing came in {seconds:g} s")


def answers_of(port: int) -> dict[str, list[Any]]:
    """What the board's queries find, once each finds what it can: a scrape may be late."""
    found = {}
    for query in board_queries():
        query = query.replace("$__rate_interval", "60s").replace("$instance", ".*")
        found[query] = asked(port, "query", query=query)["result"]
        if not found[query] and not any(name in query for name in EMPTY):
            return {}
    return found


def test_a_real_prometheus_answers_the_board(tmp_path: Path) -> None:
    program, port, own = needs("prometheus"), free_port(), free_port()
    settings: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    settings["global"]["scrape_interval"] = settings["global"]["evaluation_interval"] = "1s"
    settings["rule_files"] = [str(FOLDER / "rules.yaml")]
    settings["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    command = [
        program, f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/db",
        f"--web.listen-address=127.0.0.1:{own}", "--log.level=error",
    ]  # fmt: skip
    answers: dict[str, list[Any]] = {}
    rules: list[dict[str, Any]] = []

    def ask(when: str) -> None:
        if when != "end":
            return
        answers.update(until(lambda: answers_of(own)))
        rules.extend(until(lambda: evaluated(asked(own, "rules")["groups"])))

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as prometheus:
        try:
            until(lambda: asked(own, "status/buildinfo"))
            result = run(tmp_path, port, ask)
        finally:
            prometheus.terminate()
    assert {rule["health"] for rule in rules} == {"ok"}
    (errors,) = answers['sum(uniaudio2_rows_total{instance=~".*",outcome="error"})']
    assert int(errors["value"][1]) == result.counts.errors == 1
    assert not any(rule["state"] == "firing" for rule in rules)


def evaluated(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rules, once each was asked; else none."""
    rules = [rule for group in groups for rule in group["rules"]]
    return rules if all(rule["health"] != "unknown" for rule in rules) else []
