"""Exports of rows that were made to harm: each is read by the library of its own format."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import datasets
import pytest
import soundfile
import torch
import webdataset
import yaml
from lhotse import CutSet
from lhotse.kaldi import load_kaldi_data_dir
from markdown_it import MarkdownIt

from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.export.card import dataset_card
from pipelines.export.export import Format, export_run
from pipelines.export.fields import checked_address, checked_suffix
from pipelines.export.lines import store_sound
from pipelines.export.row import ExportRow, Sound, Sounds
from tests.conftest import tone
from tests.pipelines.committed import make_output
from uniaudio2.errors import BadRow
from uniaudio2.tokens.codes import Codes

# whatever C, Python or a shell takes away at the ends of a line, and signs that are not seen
BLANKS = [
    " ", "\t", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", "\x7f", "\x85", "\xa0", "\u1680",
    "\u2003", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff",
]  # fmt: skip
SEPARATORS = "one\ntwo\rthree\vfour\ffive\x1csix\x1dseven\x1eeight\x85nine\u2028ten\u2029end"
COMMAND = {
    "id": "x",
    "sources": [{"type": "command", "channels": [0], "source": "touch marker"}],
    "sampling_rate": 16_000,
    "num_samples": 16_000,
    "duration": 1.0,
}
ARRAY = {"storage_type": "numpy_files", "storage_path": "/", "storage_key": "x", "shape": [1]}
NESTED = {
    "extra": COMMAND,
    "target_recording": COMMAND,
    "picture": {"width": 4, "height": 4, **ARRAY},
    "series": {"array": ARRAY, "temporal_dim": 0, "frame_shift": 0.1, "start": 0.0},
    "many": [COMMAND],
    "load_audio": "x",
    "shard_origin": "/etc/passwd",
    "dataloading_info": {"rank": 0},
    "recording": COMMAND,
    "features": {"storage_type": "numpy_files"},
    "type": "MixedCut",
    "sources": COMMAND["sources"],
    "pyd": "cos\nsystem\n(S'touch marker'\ntR.",
    "__key__": "../../x",
    "_type": "Audio",
}


@pytest.fixture(autouse=True)
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that no test may bring about; commands would run in its folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder / "marker"
    assert not list(folder.iterdir()), "a command ran"


def heard(folder: Path, names: list[str], text: str = "words", **columns: Any) -> str:
    """OUTPUT of a transcription of recordings of these names."""
    (folder / "in").mkdir()
    for name in names:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = ("OGG", "OPUS") if name.endswith(".opus") else ("WAV", "PCM_16")
        soundfile.write(str(path), tone(0.5), 24_000, format=kind[0], subtype=kind[1])
    rows = [{"id": f"r{n}", "audio": name, **columns} for n, name in enumerate(names)]
    waves, texts = [torch.zeros(12_000)] * len(rows), [text] * len(rows)
    return make_output(str(folder / "out"), "asr", rows, waves, texts, [str(folder / "in/m.jsonl")])


@pytest.mark.parametrize("ending", ["|", "|{}", "{}"])
def test_no_name_is_a_command_once_a_line_is_stripped(tmp_path: Path, ending: str) -> None:
    names = [f"{n};touch marker" + ending.format(blank) for n, blank in enumerate(BLANKS)]
    names += ["plain.wav", "with blank.wav", "größe.wav", "in|side.wav"]
    out, target = heard(tmp_path, names), tmp_path / "dst"
    result = export_run(out, str(target), "kaldi")
    assert (result.rows, dict(result.skipped)) == (4, {"unsafe_name": len(BLANKS)})
    assert "--copy-audio" in result.examples[0]
    assert all(example.isprintable() for example in result.examples)
    recordings, supervisions, _ = load_kaldi_data_dir(target, 24_000)
    assert supervisions is not None
    assert len(supervisions) == len(recordings) == 4
    for recording in recordings:
        assert recording.sources[0].type == "file"
        assert recording.load_audio().shape == (1, 12_000)
    copied = export_run(out, str(tmp_path / "copied"), "kaldi", copy_audio=True)
    assert (copied.rows, copied.skipped) == (len(names), {})


@pytest.mark.parametrize(
    "uri",
    [
        "", "-", "| touch x", "touch x |", "pipe:touch x", "pipe://touch x/a.wav", "sftp://h/a.wav",
        "memory://a", "/a\n/b", "/a\x00b", "/a\u2028b", " /a.wav", "/a.wav\x1f", "/a\ud800",
        "/it's.opus", "/IT'S.OPUS", "/a b.sph", "/$(touch x).sph", "/`x`.SPH", "file:/a |",
        "file:///a|",
    ],
)  # fmt: skip
def test_addresses_that_some_reader_takes_for_more(uri: str) -> None:
    with pytest.raises(BadRow) as found:
        checked_address(uri)
    assert found.value.kind == "unsafe_name"
    assert found.value.message.isprintable()


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("/data/it's a name; really | so.wav", None),
        ("/data/a b.opus", None),
        ("/data/a-b_c,d.sph", None),
        ("s3://bucket/größe 1.flac", None),
        ("https://host/a.wav?x=1", None),
        ("file:///data/a.wav", "/data/a.wav"),
        ("/data/a:12/b://c.wav", None),
    ],
)
def test_addresses_that_people_have(uri: str, wanted: str | None) -> None:
    assert checked_address(uri) == (wanted or uri)


@pytest.mark.parametrize("name", ["/a.ark:12", "/a.ark:12[0:3]", "/a:77", "/a.wav[3]"])
def test_places_in_archives_are_no_names_to_kaldi(tmp_path: Path, name: str) -> None:
    result = export_run(heard(tmp_path, [name[1:]]), str(tmp_path / "dst"), "kaldi")
    assert dict(result.skipped) == {"unsafe_name": 1}


@pytest.mark.parametrize("kind", ["lhotse", "nemo", "kaldi"])
def test_no_name_reaches_a_shell_of_its_reader(tmp_path: Path, kind: Format) -> None:
    names = ["a';touch marker;'.opus", "$(touch marker).sph", "b;touch marker;.sph", "good.wav"]
    out = heard(tmp_path, names)
    result = export_run(out, str(tmp_path / "dst"), kind)
    assert (result.rows, dict(result.skipped)) == (1, {"unsafe_name": 3})
    if kind == "lhotse":
        for cut in CutSet.from_file(tmp_path / "dst/cuts.jsonl.gz"):
            assert cut.recording.sources[0].type in ("file", "url")
            cut.load_audio()


@pytest.mark.parametrize("kind", ["lhotse", "shar"])
def test_nested_columns_stay_text_to_lhotse(tmp_path: Path, kind: Format) -> None:
    out = heard(tmp_path, ["a.wav", "b.wav"], **NESTED)
    assert export_run(out, str(tmp_path / "dst"), kind).rows == 2
    if kind == "lhotse":
        cuts = list(CutSet.from_file(tmp_path / "dst/cuts.jsonl.gz"))
    else:
        cuts = list(CutSet.from_shar(in_dir=tmp_path / "dst/shards"))
    for cut in cuts:
        assert cut.load_audio().shape == (1, 12_000)
        for name in (*NESTED, *cut.custom):
            value = cut.custom[name]
            assert isinstance(value, str | int | float | bool | None | Path), name
            with pytest.raises(ValueError, match="To load"):
                cut.load_custom(name)
        assert json.loads(cut.custom["extra"]) == COMMAND
        assert cut.custom["type"] == "MixedCut"
        cut.move_to_memory(load_features=False).to_dict()


def test_nested_columns_to_webdataset_and_datasets(tmp_path: Path) -> None:
    out = heard(tmp_path, ["a.wav"], **NESTED)
    assert export_run(out, str(tmp_path / "wds"), "webdataset", copy_audio=True).rows == 1
    shards = sorted(map(str, (tmp_path / "wds").glob("*.tar")))
    (sample,) = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode()
    assert {name for name in sample if not name.startswith("__")} == {"json", "txt", "flac"}
    assert sample["json"]["extra"] == COMMAND
    assert export_run(out, str(tmp_path / "hf"), "huggingface").rows == 1
    found = datasets.load_dataset(
        str(tmp_path / "hf"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found[0]["extra"] == COMMAND
    assert isinstance(found.features["_type"], datasets.Value)


@pytest.mark.parametrize("kind", ["MixedCut", "MonoCut", "MultiCut", "PaddingCut", "recording"])
def test_a_line_of_json_is_no_cut_to_lhotse(tmp_path: Path, kind: str) -> None:
    """Columns that are together a cut whose recording is a command."""
    mark = tmp_path / "ran"
    recording = {
        "id": "r", "sampling_rate": 16_000, "num_samples": 16_000, "duration": 1.0,
        "sources": [{"type": "command", "channels": [0], "source": f"touch {mark}"}],
    }  # fmt: skip
    cut = {"type": "MonoCut", "id": "c", "start": 0.0, "duration": 1.0, "channel": 0,
           "recording": recording}  # fmt: skip
    columns: dict[str, Any] = {**cut, "type": kind}
    if kind == "MixedCut":
        columns = {"type": kind, "tracks": [{"type": "MonoCut", "offset": 0.0, "cut": cut}]}
    if kind == "recording":
        columns = recording
    columns.pop("id", None)
    out = heard(tmp_path, ["a.wav"], **columns)
    assert export_run(out, str(tmp_path / "dst"), "jsonl").rows == 1
    line = json.loads((tmp_path / "dst/manifest.jsonl").read_text())
    assert not {"type", "tracks", "recording", "sources"}.intersection(line)
    with suppress(Exception):  # it is none of lhotse's: how it says so is lhotse's business
        for found in CutSet.from_file(tmp_path / "dst/manifest.jsonl"):
            found.load_audio()
    assert not mark.exists()


def test_audio_of_another_kind_is_not_exported(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "dst"))
    row = ExportRow({"id": "a"}, Codes.empty(), Sounds(str(tmp_path), True, None, False))
    for suffix in ("pyd", "pth", "pkl", "", "wav/x", "json"):
        sound = Sound(b"x", suffix, "", 0.0, 1.0)
        with pytest.raises(BadRow, match="was not made by a run"):
            checked_suffix(sound)
        with pytest.raises(BadRow):
            store_sound(row, sound, storage)
    assert not (tmp_path / "dst").exists()


@pytest.mark.parametrize("kind", ["jsonl", "nemo", "lhotse", "kaldi"])
def test_a_row_is_one_line_to_every_reader(tmp_path: Path, kind: Format) -> None:
    out = heard(tmp_path, ["a.wav", "b.wav"], text=SEPARATORS, note=SEPARATORS)
    assert export_run(out, str(tmp_path / "dst"), kind).rows == 2
    lines = [path for path in (tmp_path / "dst").iterdir() if path.name != "export.json"]
    for path in lines:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        assert len(text.splitlines()) == 2, path
        if ".jsonl" in path.name:
            found = [json.loads(line) for line in text.splitlines()]
            assert all(SEPARATORS in json.dumps(row, ensure_ascii=False) for row in found) or all(
                json.dumps(SEPARATORS)[1:-1] in json.dumps(row) for row in found
            )


def test_texts_of_kaldi_begin_no_utterance(tmp_path: Path) -> None:
    out = heard(tmp_path, ["a.wav"], text="\u2028other words |\x00\x1b[2J")
    export_run(out, str(tmp_path / "dst"), "kaldi")
    (line,) = (tmp_path / "dst/text").read_text().splitlines()
    assert line.partition(" ")[2] == "other words | [2J"


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b"])
def test_no_folder_of_an_export_begins_a_line_of_kaldi(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="ends a line"):
        export_run(heard(tmp_path, ["a.wav"]), str(tmp_path / name), "kaldi", copy_audio=True)


HOSTILE_NAMES = [
    "<script>alert(1)</script>", "![x](http://evil/x.png)", "[x](javascript:alert(1))", "a|b`c``d",
    "\n\n# heading\n\n", "`<img src=x>`", "$x$", "\x1b[31mred\u202e", "| a | b |", "---", "~~x~~",
    "http://evil.example", "<http://evil.example>", "\\", "\\`<b>", " ", "", "&lt;b&gt;", "[x]: /u",
    "`", "``", "a\\|b",
]  # fmt: skip


def test_a_card_holds_no_markdown_of_others(tmp_path: Path) -> None:
    out = heard(tmp_path, ["a.wav"], **dict.fromkeys(HOSTILE_NAMES, "x"))
    export_run(out, str(tmp_path / "dst"), "huggingface")
    card = (tmp_path / "dst/README.md").read_text()
    _check_card(card)
    assert "`<script>alert(1)</script>`" in card
    shutil.rmtree(tmp_path / "dst")


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "a\n---\nb: c", "no", "a: b", "'\"", "{x: y}"])
def test_no_name_breaks_the_head_of_a_card(name: str) -> None:
    import pyarrow as pa

    run = {
        "job": {"task": name, "model": name, "seed": name},
        "model": {"name": name, "trained": False},
        "versions": {name: name},
    }
    card = dataset_card(run, pa.schema([(name, pa.string())]), 3, True)
    header = _check_card(card)
    assert set(header) == {"pretty_name", "tags", "configs"}
    assert header["tags"][0] == "uniaudio2"
    assert len(header["configs"]) == 1


def _check_card(card: str) -> Any:
    """Nothing but our own heading, table and code in it, and a header that is YAML."""
    assert re.sub(r"\n", "", card).isprintable()
    _, header, body = re.split(r"^---$\n", card, maxsplit=2, flags=re.MULTILINE)
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = [part for token in parser.parse(body) for part in (token, *(token.children or ()))]
    kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
    table = {"table", "thead", "tbody", "tr", "th", "td"}
    assert kinds <= {"heading", "paragraph", "inline", "text", "code_inline", "softbreak", *table}
    assert sum(token.type == "heading_open" for token in tokens) == 1
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    assert len(cells) == 2 * len(rows)
    return yaml.safe_load(header)
