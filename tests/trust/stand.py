"""A folder with secrets of a user, and what tests of strangers' OUTPUTs do there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.cli.commands import main
from pipelines.run_state import seals
from tests.conftest import tone
from tests.pipelines.committed import make_output

SECRET = "the-line-of-a-file-that-only-its-owner-reads"
TEXT = "bytes-of-a-file-that-no-message-repeats"
NEED_AUDIO = ("nemo", "kaldi", "lhotse", "shar")
COMMANDS = ("status", "report", "export", "retry")


@dataclass
class Told:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass
class Stand:
    """A folder with secrets of this user, a server that counts, and the command line."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def cli(self, *arguments: str) -> Told:
        """Run a command as a user does; a traceback fails the test."""
        self.monkeypatch.setattr(sys, "argv", ["uniaudio2", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = self.capsys.readouterr()
        assert SECRET not in said.out + said.err
        assert TEXT not in said.out + said.err
        assert all(line.isprintable() for line in (said.out + said.err).splitlines())
        assert isinstance(end.value.code, int)
        return Told(end.value.code, said.out, said.err)

    def command(self, name: str, out: str) -> Told:
        more = [f"{self.folder}/dst", "--format", "jsonl"] if name == "export" else []
        return self.cli(name, out, *more)

    def assert_refused(self, told: Told) -> None:
        assert told.code in (1, 2)
        assert len(told.err.splitlines()) == 1
        self.assert_nothing_got_out()

    def assert_nothing_got_out(self) -> None:
        assert self.asked == []
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name != "secret":
                assert SECRET.encode() not in path.read_bytes(), path

    def become_another(self) -> None:
        """From now on this user has another key: what was sealed before is another's."""
        self.monkeypatch.setenv("XDG_STATE_HOME", str(self.folder / f"state-{len(self.asked)}"))
        seals._key.cache_clear()


def heard(stand: Stand, name: str = "out", **facts: Any) -> str:
    """Transcripts of recordings: a private one by its path, one on a server, a text."""
    named = [
        f"{stand.folder}/private.wav", "private.wav", f"file://{stand.folder}/private.wav",
        f"http://127.0.0.1:{stand.port}/a.wav", f"{stand.folder}/secret",
        f"{stand.folder}/secret#bytes=0+8",
    ]  # fmt: skip
    rows = [{"id": f"r{n}", "audio": value} for n, value in enumerate(named)]
    sources = [f"{stand.folder}/m.jsonl"]
    waves = [torch.zeros(4800)] * len(rows)
    return make_output(
        f"{stand.folder}/{name}", "asr", rows, waves, ["x"] * len(rows), sources, **facts
    )


def spoken(stand: Stand, layout: str = "files") -> str:
    rows = [{"id": f"r{n}", "text": "hello"} for n in range(3)]
    waves = [torch.from_numpy(tone(0.1))] * 3
    return make_output(f"{stand.folder}/out", "tts", rows, waves, audio_layout=layout)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def records(out: str) -> list[Path]:
    return sorted(Path(out, "_log/units").iterdir())


def players(out: str) -> int:
    return Path(out, "report.html").read_text().count("<audio ")
