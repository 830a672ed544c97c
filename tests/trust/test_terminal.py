"""What reaches a terminal: no sign of others moves its cursor, no way leads past the printer."""

from __future__ import annotations

import ast
import io
import json
import logging
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from rich.table import Table

from actors.storage.object_store import Storage
from pipelines.cli.commands import main
from pipelines.cli.views.listing import show_task, show_tasks
from pipelines.config.make_job import make_job
from pipelines.config.own_addresses import check_no_secret
from pipelines.errors import UsageError
from pipelines.planning.preflight import checked_model
from pipelines.progress.live_view import LiveView
from pipelines.progress.progress import Progress
from pipelines.progress.terminal import Terminal, cell
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.counts import Counts
from tests.pipelines.committed import make_output
from tests.pipelines.progress.test_live_view import SNAPSHOT
from uniaudio2.tasks.table import get_task
from uniaudio2.terminal import say, say_json

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b1m\u202egnp.exe\r[bold]x[/bold]:smile:"
ROOT = Path(__file__).parents[2]
PRINTERS = {"uniaudio2/terminal.py", "pipelines/progress/terminal.py"}
# a warning for who wrote the calling code; nothing of an input is in it
WARNS = {"uniaudio2/deprecation.py"}
# run by hand by who trains a model, over data that the same program made
EXCEPTED = "uniaudio2/training/"


def _ways_past_the_printer(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            streams = ("stdout", "stderr", "__stdout__", "__stderr__")
            writes = called.endswith((".write", ".writelines")) and any(
                f"{stream}." in called for stream in streams
            )
            given = any(
                ast.unparse(word.value).endswith(streams)
                for word in node.keywords
                if word.arg == "file"
            )
            if writes or given or called in ("print", "rich.print", "pprint"):
                yield f"{path}:{node.lineno} {called}"
            if called.startswith(("typer.echo", "typer.secho", "click.echo", "click.secho")):
                yield f"{path}:{node.lineno} {called}"
            if called in ("warnings.warn", "traceback.print_exc", "traceback.print_exception"):
                yield f"{path}:{node.lineno} {called}"
            if called.endswith("onsole.print"):
                yield f"{path}:{node.lineno} {called}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
            for name in node.names:
                if name.name in ("Console", "print"):
                    yield f"{path}:{node.lineno} {name.name} of rich"


def test_nothing_is_written_past_the_printer() -> None:
    found = []
    for package in ("pipelines", "actors", "uniaudio2"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in PRINTERS | WARNS and not name.startswith(EXCEPTED):
                found += _ways_past_the_printer(path)
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "print(1)", "sys.stdout.write('x')", "typer.echo(1)", "console.print(2)",
        "f(file=sys.stderr)", "from rich.console import Console", "warnings.warn('x')",
        "self._live.console.print(2)",
    ],
)  # fmt: skip
def test_each_way_is_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "x.py").write_text(code)
    assert list(_ways_past_the_printer(tmp_path / "x.py"))


def _check_plain(text: str) -> None:
    assert all(letter.isprintable() or letter == "\n" for letter in text), ascii(text)


def test_the_printer(capsys: pytest.CaptureFixture[str]) -> None:
    say("first\nsecond", lines=True)
    say(f"first\n{HOSTILE} s3://key:secret@bucket/x http://h/y?sig=1")
    say(HOSTILE, error=True)
    say_json({"a": HOSTILE, "url": ["https://u:p@h/x?sig=2"], "n": (1, None)})
    out, err = capsys.readouterr()
    _check_plain(out + err)
    assert len(out.splitlines()) == 4
    assert "secret" not in out
    assert "sig" not in out
    facts = json.loads(out.splitlines()[-1])
    assert facts == {"a": HOSTILE, "url": ["https://…@h/x?…"], "n": [1, None]}


def test_tables_and_the_live_view_take_text_for_text() -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, width=150, color_system=None)
    table = Table("a", "b")
    table.add_row(HOSTILE, cell(HOSTILE))
    terminal.show(table, HOSTILE, cell(HOSTILE))
    _check_plain(file.getvalue())
    assert file.getvalue().count("[bold]x[/bold]:smile:") >= 3
    live = io.StringIO()
    view = LiveView(lambda: SNAPSHOT, Terminal(file=live, force_terminal=True, width=100))
    view.say(HOSTILE)
    view.stop()
    for harm in ("\x1b]0", "\x1b[2J\x1b[31mred", "\x9b", "\u202e", "\x07"):
        assert harm not in live.getvalue()


def test_a_task_of_others() -> None:
    file = io.StringIO()
    task = get_task("asr").model_copy(update={"instruction": HOSTILE, "summary": HOSTILE})
    show_task(task, Terminal(file=file, width=150))
    show_tasks([task], terminal=Terminal(file=file, width=150))
    _check_plain(file.getvalue())
    assert file.getvalue().count("owned") == 3


@pytest.mark.parametrize("style", ["lines", "json"])
def test_progress(style: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(Counts(rows=1, units=1), style) as progress:
        progress.begin(HOSTILE)
        progress.say("warning", HOSTILE, kinds={HOSTILE: 1})
    _check_plain(capsys.readouterr().out)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr, both without harm."""

    def run(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["uniaudio2", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        _check_plain(out + err)
        assert "Traceback" not in err
        return end.value.code, out, err

    return run


def test_column_names_of_a_manifest(tmp_path: Path, command: Any) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", HOSTILE: 1}) + "\n")
    code, _, err = command("run", "asr", str(tmp_path / "m.jsonl"), str(tmp_path / "out"))
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "\\x1b[2J" in err


@pytest.mark.parametrize("name", ["prompts", "task", "config", "sets", "model"])
def test_names_in_files_of_others(tmp_path: Path, command: Any, name: str) -> None:
    (tmp_path / "m.txt").write_text("hello\n")
    words = ["run", "tts", str(tmp_path / "m.txt"), str(tmp_path / "out")]
    file = tmp_path / "file.yaml"
    if name == "prompts":
        file.write_text(json.dumps({HOSTILE: ["x"]}))
        words += ["--set", f"prompts={file}"]
    elif name == "task":
        file.write_text(json.dumps({HOSTILE: HOSTILE, "name": HOSTILE}))
        words[1] = str(file)
    elif name == "config":
        file.write_text(json.dumps({HOSTILE: {HOSTILE: HOSTILE}, "seed": HOSTILE}))
        words += ["--config", str(file)]
    elif name == "sets":
        words += ["--set", f"sampling.{HOSTILE}={HOSTILE}"]
    else:
        words += ["--model", HOSTILE]
    code, _, err = command(*words)
    assert code == 2
    assert len(err.splitlines()) == 1


def test_an_output_of_others(tmp_path: Path, command: Any) -> None:
    rows = [{"id": HOSTILE, "text": HOSTILE, "speaker": HOSTILE}]
    out = make_output(str(tmp_path / "out"), "tokenize", [{**rows[0], "audio": f"/no/{HOSTILE}"}],
                      [torch.zeros(2400)], [], [f"/in/{HOSTILE}.jsonl"])  # fmt: skip
    commit_log = CommitLog(Storage(out))
    facts = commit_log.read_run() or {}
    facts["state"] = facts["job"]["model"] = HOSTILE + "\nverify all is well"
    facts["input"]["units"] = 1
    commit_log.write_run(facts)
    code, said, _ = command("status", out)
    assert code == 0
    assert not [line for line in said.splitlines() if line.startswith("verify")]
    assert json.loads(command("status", out, "--json")[1])["state"].startswith("\\x1b]0;owned")
    code, said, _ = command("export", out, str(tmp_path / "dst"), "--format", "nemo")
    assert code == 3
    assert "\\x1b[2J" in said
    for kind in ("jsonl", "huggingface", "webdataset", "pt"):
        assert command("export", out, str(tmp_path / kind), "--format", kind)[0] == 0


def test_an_error_of_ours_is_told_without_harm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["uniaudio2", "inspect", "nano"])

    def broken(_: str) -> str:
        raise LookupError(HOSTILE)

    monkeypatch.setattr("pipelines.cli.inspect.describe", broken)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    said = capsys.readouterr().err
    _check_plain(said)
    assert "LookupError" in said


def test_what_libraries_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["uniaudio2", "inspect", "nano"])
    monkeypatch.setattr(logging.root, "handlers", [])

    def talkative(_: str) -> str:
        warnings.warn(HOSTILE, stacklevel=1)
        logging.getLogger("some.library").warning(HOSTILE)
        return HOSTILE

    monkeypatch.setattr("pipelines.cli.inspect.describe", talkative)
    with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
        warnings.simplefilter("always")
        main()
    assert end.value.code == 0
    out, err = capsys.readouterr()
    _check_plain(out + err)
    assert err.count("owned") == 2


SECRETS = [
    "https://user:hunter2@host/x.jsonl", "s3://KEY:hunter2@bucket/x", "hf://me:hunter2@x/y",
    "https://host/x?X-Amz-Signature=hunter2", "s3://b/x?a=1&AWSAccessKeyId=hunter2",
    "https://host/x?sv=1&sig=hunter2",
]  # fmt: skip


@pytest.mark.parametrize("uri", SECRETS)
def test_addresses_with_secrets_are_refused_and_not_told(
    tmp_path: Path, command: Any, uri: str
) -> None:
    (tmp_path / "m.txt").write_text("hello\n")
    source, out = str(tmp_path / "m.txt"), str(tmp_path / "out")
    for words in (
        ["run", "tts", uri, out], ["run", "tts", source, uri],
        ["run", "tts", source, out, "--model", uri], ["run", "tts", source, out, "--address", uri],
        ["run", "tts", source, out, "--set", f"prompts={uri}"],
        ["run", "tts", source, out, "--set", f"examples.input={uri}"],
        ["status", uri], ["report", uri], ["retry", uri], ["inspect", uri], ["convert", uri, out],
        ["export", uri, out, "--format", "pt"], ["export", out, uri, "--format", "pt"],
        ["doctor", "--storage", uri],
    ):  # fmt: skip
        code, said, err = command(*words)
        assert code == 2, words
        assert "hunter2" not in said + err
        assert len(err.splitlines()) == 1
        assert "environment" in err
    with pytest.raises(UsageError):
        checked_model(make_job({"task": "tts", "input": uri, "output": out}))


@pytest.mark.parametrize(
    "uri",
    ["hf://team/model@v1", "s3://bucket/a@b/c", "/a:b@c/x", "s3://bucket/what?.jsonl", "a?key=b"],
)
def test_addresses_without_secrets_pass(uri: str) -> None:
    check_no_secret("INPUT", uri)


class _Answers(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        body = b'{"id": "a", "text": "hi"}\n' if self.path == "/m.jsonl" else b"<a href=/m.jsonl>"
        self.send_response({"/m.jsonl": 200, "/folder/": 200, "/500": 500}.get(self.path, 404))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_GET  # noqa: N815 - names of the library


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def dead() -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("{web}/m.jsonl", "{out}"), ("{web}/gone.jsonl", "{out}"), ("{web}/folder/", "{out}"),
        ("{web}/500", "{out}"), ("{web}/*.jsonl", "{out}"), ("{dead}/m.jsonl", "{out}"),
        ("http://", "{out}"), ("http:///m.jsonl", "{out}"), ("http://[::1/m.jsonl", "{out}"),
        ("HTTPS://127.0.0.1/x", "{out}"), ("weird://x", "{out}"), ("github://a/b", "{out}"),
        ("{in}", "{web}/out"), ("{in}", "{dead}/out"), ("{in}", "http://"), ("{in}", "github://a/b"),
    ],
)  # fmt: skip
def test_places_that_cannot_serve_are_one_line(
    tmp_path: Path, command: Any, web: str, dead: str, source: str, target: str
) -> None:
    (tmp_path / "m.txt").write_text("hello\n")
    places = {"web": web, "dead": dead, "in": tmp_path / "m.txt", "out": tmp_path / "out"}
    code, said, err = command("run", "tts", source.format(**places), target.format(**places))
    assert code in (1, 2)
    assert said == ""
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["status", "report", "retry", "inspect", "export"])
@pytest.mark.parametrize("place", ["{web}/out", "weird://x", "github://a/b", "http://[::1/m"])
def test_other_commands_say_one_line_too(
    tmp_path: Path, command: Any, web: str, word: str, place: str
) -> None:
    rest = [str(tmp_path / "dst"), "--format", "pt"] if word == "export" else []
    code, _, err = command(word, place.format(web=web), *rest)
    assert code in (1, 2)
    assert len(err.splitlines()) == 1


def test_a_store_that_does_not_answer_is_one_line(
    tmp_path: Path, command: Any, dead: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.storage import file_systems

    monkeypatch.setenv("AWS_ENDPOINT_URL", dead)
    file_systems._filesystem.cache_clear()
    try:
        code, _, err = command("run", "tts", "s3://bucket/m.jsonl", str(tmp_path / "out"))
    finally:
        file_systems._filesystem.cache_clear()
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "endpoint" in err
