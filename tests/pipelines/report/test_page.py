"""The report as a whole: self-contained, bounded, and deaf to what the data would tell it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markupsafe import Markup

from actors.storage.object_store import Storage
from pipelines import JobConfig, UsageError, run_job
from pipelines.report import page, write_report
from pipelines.report.card import model_card
from pipelines.report.histograms import histogram
from tests.conftest import tone, wav_bytes
from tests.pipelines.report.browser import CHROMIUM, Server, look

OWNED = "document.title='owned'"
HOSTILE = [
    f"<script>{OWNED}</script>",
    f'"><svg onload="{OWNED}"><img src=x onerror="{OWNED}">',
    f"' onmouseover='{OWNED}' autofocus onfocus='{OWNED}",
    f"</style><style>*{{display:none}}</style></p></td></details></pre><script>{OWNED}</script>",
    f"{{{{ 7*191 }}}}{{% raw %}} javascript:{OWNED} &lt;script&gt;",
    '<img src="/leak-img"><link rel=stylesheet href="/leak-css"><iframe src="/leak-frame"></iframe>'
    '<meta http-equiv="refresh" content="0;url=/leak-meta"><audio src="/leak-audio" autoplay>',
    "]]>--><!--\u202e\u2028\x00\ud7ff",
]
TAGS_WITH_POWER = {"script", "iframe", "object", "embed", "link", "form", "base", "a", "input"}


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_inert(text: str) -> None:
    """Nothing in a page can run, load or send."""
    tags = Tags(text).found
    assert not TAGS_WITH_POWER.intersection(tag for tag, _ in tags)
    for _, attributes in tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert "href" not in attributes
        assert (attributes.get("src") or "data:").startswith("data:")
    (policy,) = [a["content"] for tag, a in tags if a.get("http-equiv")]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """OUTPUT of a transcription whose ids, texts, names and columns are all hostile."""
    rows = [
        {"id": text, "audio": f"{number}.wav", "text": text, text[:40]: text, "question": text}
        for number, text in enumerate(HOSTILE)
    ]
    rows += [{"id": f"gone {text}", "audio": f"gone/{text}.wav"} for text in HOSTILE[:6]]
    for number in range(len(HOSTILE)):
        (tmp_path / f"{number}.wav").write_bytes(wav_bytes(tone(0.3, hz=300 + 100 * number)))
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = JobConfig(
        executor="inline",
        task="asr", input=str(tmp_path / "m.jsonl"), output=str(tmp_path / "out"), model="tiny",
        keep="tokens", sampling={"max_frames": 8}, instruction=HOSTILE[0],
    )  # fmt: skip
    result = run_job(job)
    assert (result.counts.ok, result.counts.errors) == (7, 6)
    assert result.report is not None
    return result.output


def test_hostile_data_is_inert_and_shown_as_it_is(hostile: str) -> None:
    text = (Path(hostile) / "report.html").read_text()
    assert_inert(text)
    for shown in ("&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;", "{{ 7*191 }}"):
        assert shown in text
    assert "1337" not in re.sub(r'"data:[^"]*"|d="[^"]*"', "", text)
    title = re.search(r"<title>(.*?)</title>", text)
    assert title is not None
    assert title[1] == "asr: 7 rows, 6 errors"
    assert f"uniaudio2 retry {hostile} --only missing_file" in text


def test_no_sign_turns_a_page_or_tells_a_secret(hostile: str) -> None:
    text = (Path(hostile) / "report.html").read_text()
    assert all(letter.isprintable() or letter in "\n\r\t\u200c\u200d" for letter in text)
    assert "\\u202e\\u2028\\x00" in text
    made = (
        page._environment()
        .from_string("{{ a }}|{{ b }}|{{ c }}|{{ d }}")
        .render(a="x\ny\u200d\x1b", b=Markup("<b>\u202e</b>"), c=7, d="https://u:p@h/x?sig=1 <i>")
    )
    assert made == "x\ny\u200d\\x1b|<b>\u202e</b>|7|https://…@h/x?… &lt;i&gt;"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; the page's text is judged above")
def test_a_browser_runs_and_asks_nothing_and_the_page_fits_its_width(hostile: str) -> None:
    folder = Path(hostile)
    server = Server(folder)
    try:
        desk = look(server, folder, 1280)
        phone = look(server, folder, 390, dark=True)
    finally:
        server.close()
    for seen, width in ((desk, 1280), (phone, 390)):
        assert seen.facts["title"] == "asr: 7 rows, 6 errors"
        assert {path for path in seen.asked if "favicon" not in path} == {
            "/glass.html", "/report.html",
        }  # fmt: skip
        assert seen.complaints == []
        assert seen.facts["width"] <= width
        assert (seen.facts["margin"], seen.facts["hidden"]) == ("0px", 0)  # our style is at work
        assert len(seen.facts["pictures"]) == 7 * 3  # a spectrogram and two token streams
        assert all(seen.facts["pictures"])
        assert seen.facts["sounds"] == [pytest.approx(0.3, abs=0.01)] * 7
    assert desk.facts["background"] != phone.facts["background"]


def test_it_is_made_again_from_storage_alone(hostile: str, bucket: str) -> None:
    """Copied to S3, and without the input: the same page, but for the sounds that went in."""
    local = Storage(hostile)
    there = Storage(f"{bucket}/copy")
    for path in local.list(""):
        there.put(path, local.read(path))
    before = local.read("report.html").decode()
    for sound in Path(hostile).parent.glob("*.wav"):
        sound.unlink()
    write_report(there.root)  # in another place it is no run of this user: nothing else is read
    careful = there.read("report.html").decode()
    assert "not available" not in careful
    assert f"uniaudio2 report {there.root} --with-input-audio" in careful
    made = write_report(there.root, with_input_audio=True)
    after = there.read("report.html").decode()
    assert made.path == f"{there.root}/report.html"
    assert_inert(after)
    assert len(after) == made.size_bytes - (len(after.encode()) - len(after))
    assert "not available" in after
    assert "--with-input-audio" not in after
    for part in ("rows with a result", "Rows that failed", "reconstruction tokens"):
        assert before.count(part) == after.count(part)


def test_generated_sound_is_beside_what_went_in(
    tmp_path: Path,
    make_audio: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        make_audio(f"in/{number}.wav", 0.3)
    job = JobConfig(
        executor="inline",
        task="reconstruct", input=str(tmp_path / "in"), output=str(tmp_path / "out"), model="tiny",
        audio_layout="tar",
    )  # fmt: skip
    run_job(job)
    text = (tmp_path / "out/report.html").read_text()
    assert_inert(text)
    assert text.count("<audio ") == 6
    assert text.count(">in, 0.3 s<") == text.count(">out, 0.3 s<") == 3
    monkeypatch.setattr(page, "Gallery", small_gallery)
    write_report(job.output)
    text = (tmp_path / "out/report.html").read_text()
    assert text.count("<audio ") == 0
    assert text.count("no player, to keep this page small") == 6


def test_a_sound_that_the_manifest_holds_is_shown(tmp_path: Path) -> None:
    rows = [{"id": f"{n}", "audio": {"bytes": wav_bytes(tone(0.2 + n / 10)), "path": None},
             "end_s": 0.3} for n in range(5)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    job = JobConfig(
        executor="inline",
        task="tokenize", input=str(tmp_path / "m.parquet"), output=str(tmp_path / "out"),
        model="tiny", unit_rows=2,
    )  # fmt: skip
    run_job(job)
    text = (tmp_path / "out/report.html").read_text()
    assert (text.count("<audio "), text.count(">in, 0.3 s<"), text.count(">in, 0.2 s<")) == (
        5,
        4,
        1,
    )


def small_gallery(*given: object, **named: object) -> page.Gallery:
    """One that has no room for sounds."""
    return Gallery(*given, **named, _left=100)  # type: ignore[arg-type]


Gallery = page.Gallery


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a", "audio": "gone.wav"}\n')
    job = JobConfig(
        executor="inline",
        task="tokenize",
        input=str(tmp_path / "m.jsonl"),
        output=str(tmp_path / "out"),
        model="tiny",
    )
    assert run_job(job).exit_code == 3
    assert_inert((tmp_path / "out/report.html").read_text())
    for record in (tmp_path / "out/_log/units").glob("*"):  # as a run that has just begun
        record.unlink()
    made = write_report(job.output)
    assert (made.bottleneck, made.speed) == (None, "")
    assert '1</b><span class="quiet small">rows left to do' in Path(made.path).read_text()


def test_where_no_run_was_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no run\.json"):
        write_report(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_model_card_cannot_act(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text(
        "# Card\n\n<script>1</script>\n\n[x](javascript:1) ![y](http://host/leak.png) **bold**\n"
        "\n| a | b |\n|--|--|\n| 1 | 2 |\n"
    )
    html = str(model_card(str(folder)))
    assert "<strong>bold</strong>" in html
    assert "<td>1</td>" in html
    assert not {"script", "a", "img"}.intersection(tag for tag, _ in Tags(html).found)
    assert "card cannot be read" in model_card(str(tmp_path / "<b>"))
    assert "&lt;b&gt;" in model_card(str(tmp_path / "<b>"))


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [5.0, 5.0, 5.0], list(range(1000))])
def test_any_values_make_a_histogram(values: list[float]) -> None:
    made = histogram("x", values, "s")
    assert made.path.startswith("M")
    assert "median" in made.words


def test_one_far_value_does_not_flatten_the_rest() -> None:
    made = histogram("x", [1.0 + n / 200 for n in range(199)] + [1e6], "s")
    assert made.path.count("M") > 10
    assert "largest 1,000,000 s" in made.words
