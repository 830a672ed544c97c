"""The kept pictures of the pipeline are what the code's tables give, and the README shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import pytest

from docs import picture
from uniaudio2.tasks.spec import Stage
from uniaudio2.tasks.table import TASKS, TaskSpec

ROOT = Path(__file__).parents[1]
PICTURES = {"pipeline.svg": picture.wide, "pipeline-narrow.svg": picture.narrow}


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_kept_is_what_would_be_drawn(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == PICTURES[name](), "run python docs/picture.py"


@pytest.mark.parametrize("name", PICTURES)
def test_every_stage_and_every_text_is_in_the_picture(name: str) -> None:
    root = ElementTree.fromstring(PICTURES[name]())  # noqa: S314 - made here
    texts = [e for e in root.iter() if e.tag.endswith("}text")]
    assert {*get_args(Stage), "write", "commit", "report"} <= {e.text for e in texts}
    wide, high = float(root.attrib["width"]), float(root.attrib["height"])
    for text in texts:
        width = 6.9 * len(text.text or "")  # of the widest font that is named
        left = float(text.attrib["x"]) - (width / 2 if "mid" in text.attrib["class"] else 0)
        assert 0 < left < left + width < wide, text.text
        assert 0 < float(text.attrib["y"]) < high, text.text


def test_tasks_are_where_their_stages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {name: (others, stages) for name, others, stages, _ in picture.task_groups()}
    assert groups["tokenize"] == ("", ("load", "encode"))
    assert groups["speech_s2s"][1] == get_args(Stage)
    others = [int(others.split()[1]) if others else 0 for others, _ in groups.values()]
    assert sum(others) + len(groups) == len(TASKS)
    another = TaskSpec(name="peer", columns=("audio",), output="codes")
    monkeypatch.setitem(picture.TASKS, "peer", another)
    assert picture.task_groups()[0][:2] == ("tokenize", "and 1 more")


def test_the_readme_shows_them() -> None:
    shown = re.findall(r'(?:src|srcset)="([^"]+)"', (ROOT / "README.md").read_text())
    assert sorted(shown) == sorted(f"docs/{name}" for name in PICTURES)
