"""Kaldi data folders as rows, their pipes refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.audio_values import listed_files
from actors.batch.names import FAULT_COLUMN
from actors.inputs.audio import load_audio, load_wave
from actors.stages.load import Loader
from actors.storage.addresses import AddressPolicy
from pipelines.config.input_settings import ManifestConfig
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.toolkits.kaldi import read_kaldi
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.errors import BadRow
from uniaudio2.tasks.table import get_task


def _folder(folder: Path, **files: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return str(folder)


def test_segments_text_and_speakers(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    path = make_audio("a b.wav", 2.0, 16_000)  # the rest of the line is the path, spaces and all
    data = _folder(
        tmp_path / "data",
        wav_scp=f"rec1 {path}\nrec2 s3://bucket/b.flac\n",
        segments="u1 rec1 0.5 1.25\nu2 rec1 1.0 -1\nu3 gone 0 1\nu4 rec2 0 x\n",
        text="u1 one two\nu2\n",
        utt2spk="u1 ann\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    u1, u2, u3, u4 = source.table.to_pylist()
    assert (u1["id"], u1["text"], u1["speaker"], u1["recording"]) == (
        "u1",
        "one two",
        "ann",
        "rec1",
    )
    assert len(load_wave(u1, AddressPolicy(source.base), 60.0)) == 0.75 * 24_000
    assert (u2["end_s"], u2["text"]) == (None, "")
    assert len(load_wave(u2, AddressPolicy(source.base), 60.0)) == 24_000
    assert "line 3 of segments names a recording that wav.scp does not" in u3[FAULT_COLUMN]
    assert "line 4 of segments is not: utterance, recording" in u4[FAULT_COLUMN]


def test_the_fifth_column_of_segments_is_the_channel(tmp_path: Path) -> None:
    call = tone(2.0, 16_000, 2)
    call[:, 1] = 0.0  # one speaks, the other listens
    path = tmp_path / "call.wav"
    soundfile.write(path, call, 16_000)
    data = _folder(
        tmp_path / "data",
        wav_scp=f"call {path}\n",
        segments="a call 0 1 0\nb call 0 1 1\nc call 0 1\nd call 0 1 x\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    a, b, c, d = source.table.to_pylist()
    assert [row["audio_channel"] for row in (a, b, c)] == [0, 1, None]
    assert "utterance, recording, start, end, [channel]" in d[FAULT_COLUMN]
    speaks, listens = (load_wave(row, AddressPolicy(source.base), 60.0) for row in (a, b))
    assert speaks.abs().max() > 0.2
    assert listens.abs().max() == 0.0


def test_pipes_and_archives_are_rows_that_fail(tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    data = _folder(
        tmp_path / "data",
        wav_scp=f"a touch {flag} |\nb | touch {flag}\nc {tmp_path}/x.ark:15\nd\ne sub/e.wav\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    rows = source.table.to_pylist()
    faults = [row[FAULT_COLUMN] for row in rows]
    assert "never run" in faults[0]
    assert "never run" in faults[1]
    assert "archive" in faults[2]
    assert "without a path" in faults[3]
    assert (faults[4], rows[4]["audio"]) == (None, "sub/e.wav")
    assert [row["id"] for row in rows] == list("abcde")
    assert source.base == data
    assert not flag.exists()


def test_the_file_itself_names_its_folder(tmp_path: Path) -> None:
    data = _folder(tmp_path / "data", wav_scp="a x.wav\n")
    assert find_sources(f"{data}/wav.scp")[0].base == data
    with pytest.raises(UsageError, match="not known"):
        (tmp_path / "other.scp").write_text("a x.wav\n")
        find_sources(str(tmp_path / "other.scp"))


@given(st.binary(max_size=200), st.none() | st.binary(max_size=200), st.binary(max_size=100))
@settings(deadline=None)
def test_no_bytes_break_the_reader(scp: bytes, segments: bytes | None, text: bytes) -> None:
    files = {"wav.scp": scp, "segments": segments, "text": text}
    table = read_kaldi(files.get)
    assert all(row.get("audio") or row[FAULT_COLUMN] for row in table.to_pylist())


@pytest.mark.parametrize("name", ["wav.scp", "segments", "text", "utt2spk"])
def test_a_link_to_a_file_of_another_kind_is_not_read(tmp_path: Path, name: str) -> None:
    """Any file can be read as lines of words: what is in it would become rows."""
    secret = tmp_path / "secret.txt"
    secret.write_text("password hunter2\n0 hunter2 1 2\nhunter2\n")
    data = Path(_folder(tmp_path / "data", wav_scp="password a.wav\n"))
    (data / name).unlink(missing_ok=True)
    (data / name).symlink_to(secret)
    for uri in (str(data), str(data / "wav.scp")):
        with pytest.raises(UsageError, match="another kind of name; copy the file") as caught:
            make_plan(uri, get_task("tokenize"))
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["wav.scp", "segments", "text"])
def test_links_between_data_folders_are_followed(tmp_path: Path, name: str) -> None:
    other = _folder(
        tmp_path / "other", wav_scp="u1 a.wav\n", segments="u1 u1 0 1\n", text="u1 hi\n"
    )
    data = Path(_folder(tmp_path / "data", wav_scp="u1 a.wav\n"))
    (data / name).unlink(missing_ok=True)
    (data / name).symlink_to(f"{other}/{name}")
    plan = make_plan(str(data), get_task("tokenize"))
    assert plan.rows == 1
    assert "1 links lead out of INPUT and are followed" in plan.notes[0]


def test_what_is_wrong_with_an_entry_is_said_without_its_contents(tmp_path: Path) -> None:
    data = _folder(
        tmp_path / "data",
        wav_scp="a SECRET |\nb SECRET.ark:5\nc c.wav\n",
        segments="u1 a 0 1\nu2 b 0 1\nu3 SECRET 0 1\nu4 c SECRET 1\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    faults = source.table[FAULT_COLUMN].to_pylist()
    assert all(faults)
    assert "SECRET" not in str(faults)


def test_a_line_that_is_too_long_costs_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.manifest.tables.text_lines.MAX_LINE_CHARACTERS", 500_000)
    data = _folder(tmp_path / "data", wav_scp=f"a a.wav\nb {'x' * 600_000}\nc c.wav\n")
    (source,) = find_sources(data)
    assert source.table is not None
    assert source.table["audio"].to_pylist() == ["a.wav", None, "c.wav"]
    assert "a line of 600003 characters" in source.table[FAULT_COLUMN].to_pylist()[1]


def test_words_are_parted_by_tabs_as_well(tmp_path: Path) -> None:
    data = _folder(
        tmp_path / "data",
        wav_scp="rec\ta b.wav\n",
        segments="u1\trec\t0\t1.5\n",
        text="u1\tone two\n",
        utt2spk="u1\tann\n",
        utt2lang="u1\tde\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    assert source.table.to_pylist() == [
        {
            "id": "u1", "audio": "a b.wav", "recording": "rec", "start_s": 0.0, "end_s": 1.5,
            "text": "one two", "speaker": "ann", "language": "de",
        }
    ]  # fmt: skip


def test_paths_that_start_at_the_root_of_the_recipe(
    tmp_path: Path, make_audio: Callable[..., Path]
) -> None:
    make_audio("egs/an4/downloads/a.wav", 1.0)
    root = tmp_path / "egs/an4"
    (root / "data").mkdir()
    data = _folder(root / "data/train", wav_scp="u1 downloads/a.wav\n", text="u1 hi\n")
    asr = get_task("asr")
    (unit,) = make_plan(data, asr).units
    with pytest.raises(BadRow, match=r"--set manifest\.base=DIR"):
        load_audio({"audio": "downloads/a.wav"}, AddressPolicy(unit.base), 60.0)
    plan = make_plan(data, asr, manifest=ManifestConfig(base=str(root)))
    loaded = Loader(asr, plan.schema)(plan.units[0].to_table())
    assert loaded["input_samples"].to_pylist() == [24_000]
    assert plan.units[0].fingerprint != unit.fingerprint  # its audio is another


def test_a_dump_of_espnet(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    """``dump/raw`` of an ESPnet recipe: data folders of every set, paths from the recipe's root."""
    make_audio("dump/raw/dev/data/format.1/a.flac", 0.5)
    make_audio("dump/raw/train/data/format.1/b.flac", 0.5)
    for name, utterance in (("dev", "a"), ("train", "b"), ("train/split2/1", "b")):
        folder = tmp_path / "dump/raw" / name
        folder.mkdir(exist_ok=True, parents=True)
        _folder(
            folder,
            wav_scp=f"{utterance} dump/raw/{name}/data/format.1/{utterance}.flac\n",
            text=f"{utterance} WORDS OF {utterance.upper()}\n",
            utt2spk=f"{utterance} spk\n",
        )
        (folder / "utt2num_samples").write_text(f"{utterance} 8000\n")
        (folder / "feats_type").write_text("raw\n")
    asr = get_task("asr")
    plan = make_plan(str(tmp_path / "dump/raw"), asr, manifest=ManifestConfig(base=str(tmp_path)))
    assert any("holds 2 data folders of Kaldi" in note for note in plan.notes)
    loaded = [Loader(asr, plan.schema)(unit.to_table()) for unit in plan.units]
    rows = [row for table in loaded for row in table.to_pylist()]
    assert [(row["id"], row["input"]["text"], row["input_samples"]) for row in rows] == [
        ("a", "WORDS OF A", 12_000),
        ("b", "WORDS OF B", 12_000),
    ]
    (alone,) = find_sources(str(tmp_path / "dump/raw/train"))
    assert alone.rows == 1


def test_ids_of_several_folders_that_repeat_begin_with_the_folder(tmp_path: Path) -> None:
    for name in ("dev", "org/dev"):
        (tmp_path / "data" / name).mkdir(parents=True)
        _folder(tmp_path / "data" / name, wav_scp="u1 /x.wav\n")
    plan = make_plan(str(tmp_path / "data"), get_task("tokenize"))
    tables = [source.table for source in find_sources(str(tmp_path / "data"))]
    ids = [row_id for table in tables if table for row_id in table["id"].to_pylist()]
    assert (plan.rows, ids) == (2, ["dev/u1", "org/dev/u1"])


def test_funasr_pairs_share_a_prefix(tmp_path: Path) -> None:
    data = Path(_folder(tmp_path / "list"))
    for part in ("train", "val"):
        (data / f"{part}_wav.scp").write_text(f"{part}1 /{part}.wav\n")
        (data / f"{part}_text.txt").write_text(f"{part}1 words of {part}\n")
    found = [table.to_pylist()[0] for s in find_sources(str(data)) if (table := s.table)]
    assert [(row["id"], row["audio"], row["text"]) for row in found] == [
        ("train1", "/train.wav", "words of train"),
        ("val1", "/val.wav", "words of val"),
    ]
    (alone,) = find_sources(str(data / "val_wav.scp"))
    assert alone.table is not None
    assert alone.table.to_pylist() == found[1:]
    assert alone.base == str(data)


def test_columns_of_several_files_are_one_recording(tmp_path: Path) -> None:
    """As ESPnet writes them for several microphones; a segment may choose one by its channel."""
    scp = "u1 CH0.wav CH1.wav\nu2 my take.wav\n"
    data = _folder(tmp_path / "data", wav_scp=scp)
    for channel in range(2):
        wave = tone(1.0) * (1 - channel / 2)
        (tmp_path / "data" / f"CH{channel}.wav").write_bytes(wav_bytes(wave))
    (source,) = find_sources(data)
    assert source.table is not None
    one, two = source.table.to_pylist()
    assert listed_files(one["audio"]) == ("CH0.wav", "CH1.wav")
    assert two["audio"] == "my take.wav"
    (tmp_path / "data" / "segments").write_text("s0 u1 0.0 0.5\ns1 u1 0.5 1.0 1\n")
    (source,) = find_sources(data)
    assert source.table is not None
    both, quiet = (
        load_wave(row, AddressPolicy(source.base), 9.0).abs().max()
        for row in source.table.to_pylist()
    )
    assert float(both) == pytest.approx(0.225, rel=0.01)
    assert float(quiet) == pytest.approx(0.15, rel=0.01)
