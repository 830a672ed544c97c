"""Addresses of a manifest, seen while it is planned."""

from __future__ import annotations

import base64

import pyarrow as pa
import pytest

from actors.batch.audio_values import list_text
from pipelines.errors import UsageError
from pipelines.planning.named_addresses import AddressScan
from uniaudio2.tasks.table import get_task

ASR = get_task("asr")


def _refused(columns: dict[str, object], base: str, allow: tuple[str, ...] = ()) -> int:
    found = AddressScan(ASR, allow)
    found.look(pa.table(columns), base)
    return found.refused


@pytest.mark.parametrize("name", ["audio", "audio_filepath", "recon_path", "reason_path"])
def test_columns_that_name_files(name: str) -> None:
    assert _refused({name: ["a.wav", "/etc/passwd", None, "../../x/y"]}, "s3://mine/set") == 2
    assert _refused({name: ["a.wav", "/etc/passwd", None]}, "/data") == 0
    assert _refused({"text": ["/etc/passwd"]}, "s3://mine/set") == 0


def test_structs_dictionaries_and_other_types() -> None:
    hub = pa.array([{"bytes": None, "path": "/etc/passwd"}, {"bytes": b"x", "path": None}])
    assert _refused({"audio": hub}, "s3://mine/set") == 1
    assert _refused({"audio": pa.array(["/etc/x"] * 3).dictionary_encode()}, "s3://mine/s") == 3
    assert _refused({"audio": pa.array([b"RIFF"])}, "s3://mine/set") == 0
    assert _refused({"audio": pa.array([{"x": "/etc"}])}, "s3://mine/set") == 0


def test_every_file_of_a_list() -> None:
    lists = [["a.wav", "/etc/passwd"], ["../../x/y", "s3://theirs/z"], ["b.wav"], None]
    assert _refused({"audio": lists}, "s3://mine/set") == 3
    texts = [None if files is None else list_text(files) for files in lists]
    assert _refused({"audio": [*texts, ' [ "/etc/x", "a" ]']}, "s3://mine/set") == 4
    assert _refused({"audio": texts}, "/data") == 0
    assert _refused({"audio": [list_text(["a", "http://10.0.0.1/x"])]}, "/data") == 1


def test_audio_that_a_text_holds_is_no_address() -> None:
    """Base64 of an MP3's frames begins with the slashes of an absolute path."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    text = base64.b64encode(frame * 4).decode()
    assert text.startswith("//")
    assert _refused({"audio": [text, "data:audio/mpeg;base64," + text]}, "s3://mine/set") == 0
    assert _refused({"audio": ["/" + "a" * 200, "//a/" + "a" * 200]}, "s3://mine/set") == 2


def test_one_line_says_how_many_which_and_what_would_allow_them() -> None:
    found = AddressScan(ASR)
    found.look(pa.table({"audio": ["s3://theirs/a.wav"] * 5}), "s3://mine/set")
    with pytest.raises(UsageError, match=r"5 addresses .*--set input\.allow=s3://theirs/") as told:
        found.check("s3://mine/set/m.parquet")
    assert "input.refused=rows" in str(told.value)
    assert _refused({"audio": ["s3://theirs/a.wav"]}, "s3://mine/set", ("s3://theirs/",)) == 0


def test_a_million_names_beside_the_manifest_are_none_of_its_business() -> None:
    assert _refused({"audio": pa.array([f"clips/{n}.wav" for n in range(1000)])}, "/data") == 0
