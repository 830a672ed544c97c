"""A zoo of hostile and broken inputs, the same for the same seed.

`make_zoo` writes the files below a folder and gives the rows that name them, each with the error
kinds that may come of it; "ok" is one of them where a damaged file may still be played.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.zoo.pt_files import pt_files
from tests.zoo.sounds import OK, UNREADABLE, encoded, sine, sound_files

LIMIT_S = 10.0  # the zoo is walked with this load.max_duration_s


@dataclass(frozen=True)
class Specimen:
    """One input row.

    Attributes:
        id: names it.
        row: its columns beside the id.
        expected: acceptable error kinds, or "ok".
    """

    id: str
    row: dict[str, Any]
    expected: frozenset[str]


@dataclass(frozen=True)
class Zoo:
    """All rows by the task that reads them, and lines that are no rows.

    Attributes:
        audio: rows of a manifest of files; every value can be written as JSON.
        typed: rows whose audio is bytes, or of a type that it cannot have.
        codes: rows of a detokenize manifest.
        texts: rows of a tts manifest.
        lines: lines of a JSONL manifest that fail as a whole.
    """

    folder: Path
    audio: list[Specimen]
    typed: list[Specimen]
    codes: list[Specimen]
    texts: list[Specimen]
    lines: list[bytes]

    def write_manifest(self) -> Path:
        """The audio rows and the broken lines as ``manifest.jsonl`` in the folder."""
        rows = [json.dumps({"id": s.id, **s.row}).encode() for s in self.audio]
        step = max(len(rows) // len(self.lines), 1)
        for number, line in enumerate(self.lines):
            rows.insert(number * (step + 1), line)
        path = self.folder / "manifest.jsonl"
        path.write_bytes(b"\n".join(rows) + b"\n")
        return path


def _odd_files(folder: Path) -> Iterator[Specimen]:
    """What a file system can hold beside regular files, and names that no one expects."""
    data = encoded(sine(0.2))
    (folder / "plain.wav").write_bytes(data)
    (folder / "folder.wav").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/real.wav").write_bytes(data)
    os.mkfifo(folder / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # a socket's address is short
        server.bind("socket.wav")
        os.chdir(here)
    (folder / "huge.wav").touch()
    os.truncate(folder / "huge.wav", 5 << 30)  # without blocks on the disk
    (folder / "forbidden.wav").write_bytes(data)
    (folder / "forbidden.wav").chmod(0)
    links = {"link.wav": "plain.wav", "outside.wav": str(folder / "elsewhere/real.wav"),
             "loop.wav": "loop.wav", "broken.wav": "nowhere.wav", "to-folder.wav": "elsewhere",
             "zero.wav": "/dev/zero", "random.wav": "/dev/urandom", "tty.wav": "/dev/tty",
             "to-pipe.wav": "pipe.wav"}  # fmt: skip
    for name, target in links.items():
        (folder / name).symlink_to(target)
    closed, missing = frozenset({"unreadable_file"}), frozenset({"missing_file"})
    kinds = {"link.wav": OK, "outside.wav": OK, "loop.wav": missing, "broken.wav": missing,
             "forbidden.wav": OK | closed, "huge.wav": frozenset({"too_large"}),
             "plain.wav/x.wav": missing, "gone.wav": missing, "x" * 300 + ".wav": missing,
             "x/" * 3000: missing, "bad\0name.wav": missing, "~/x.wav": missing,
             "../../../../../../nowhere/x.wav": missing}  # fmt: skip
    others = ("folder.wav", "pipe.wav", "socket.wav", "to-folder.wav", "zero.wav", "random.wav",
              "to-pipe.wav", ".", "/", "/dev/zero", "/dev/stdin")  # fmt: skip
    for name, expected in {**kinds, **dict.fromkeys(others, closed)}.items():
        yield Specimen(f"file-{name}", {"audio": name}, expected)
    yield Specimen("file-tty", {"audio": "tty.wav"}, closed | missing)
    names = ("new\nline.wav", "tab\t.wav", "ünï-日本.wav", "💥.wav", "[a]*?.wav", " .wav",
             "%41.wav", "a#b?c.wav", "-rf.wav", "<b>.wav", "n" * 251 + ".wav")  # fmt: skip
    for name in names:
        (folder / name).write_bytes(data)
        yield Specimen(f"name-{name}", {"audio": name}, OK)


def _addresses(folder: Path) -> Iterator[Specimen]:
    none = frozenset({"missing_file", "unreadable_file"})
    for uri in ("nosuch://x/y.wav", "github://a/b.wav", "s3://Not A Bucket!/x.wav", "file://",
                "file:///nowhere.wav", "file:///", "://x", "x://",
                "simplecache::file:///etc/hostname", "zip://x", "ftp://", "memory://nothing",
                "C:\\x.wav", "$HOME/x.wav", "|ls", "`id`", " ", "\n", "http://[::1"):  # fmt: skip
        yield Specimen(f"uri-{uri}", {"audio": uri}, none)
    yield Specimen(
        "uri-data", {"audio": "data:audio/wav;base64,UklGRg=="}, frozenset({"unreadable_audio"})
    )
    yield Specimen("uri-good", {"audio": f"file://{folder}/plain.wav"}, OK)
    yield Specimen("uri-local", {"audio": f"local://{folder}/plain.wav"}, OK)
    for number, value in enumerate((None, "")):
        yield Specimen(f"no-audio-{number}", {"audio": value}, frozenset({"missing_value"}))
    for start, end in ((5, None), (-1, None), (0.1, 0.05), (0.1, 0.1), (1e300, None), (-1e300, 1),
                       (float("nan"), None), (0, float("nan")), (float("inf"), None),
                       (0, float("-inf")), (0.2, 9)):  # fmt: skip
        row = {"audio": "plain.wav", "start_s": start, "end_s": end}
        yield Specimen(f"span-{start}-{end}", row, frozenset({"bad_span"}))
    for start, end in ((0.05, None), (0, float("inf")), (None, 0.1), (0.05, 1e300), (-0.0, 0.1)):
        row = {"audio": "plain.wav", "start_s": start, "end_s": end}
        yield Specimen(f"span-{start}-{end}", row, OK)


def _hostile_ids() -> Iterator[Specimen]:
    for row_id in ("../../x", "/etc/passwd", "a/b", "x" * 5000, "ü" * 200, "new\nline",
                   "\0\x1b[31m", "<script>alert(1)</script>", "CON", ".", "..",
                   "-", " ", "'; DROP TABLE x;--",
                   "\u202eabc", "é", "e\u0301", "nul\x00", "{}", "unit", "null"):  # fmt: skip
        yield Specimen(row_id, {"audio": "plain.wav", "unit": 7, "wave": "w", "fault": "f",
                                "error_kind": "none", "spec": "{}", "rows": [1]}, OK)  # fmt: skip


def _typed() -> Iterator[Specimen]:
    """Rows that only a typed file can hold; `row` holds Arrow arrays of one value."""
    good = encoded(sine(0.2))
    no_row, missing = frozenset({"bad_manifest_row"}), frozenset({"missing_value"})
    struct_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    not_text = pa.array([b"\xff\xfe.wav"], pa.binary()).view(pa.string())
    cells: dict[str, tuple[pa.Array, frozenset[str]]] = {
        "bytes": (pa.array([good], pa.binary()), OK),
        "large-bytes": (pa.array([good], pa.large_binary()), OK),
        "large-text": (pa.array(["plain.wav"], pa.large_string()), OK),
        "struct": (pa.array([{"bytes": good, "path": None}], struct_type), OK),
        "struct-path": (pa.array([{"bytes": None, "path": "plain.wav"}], struct_type), OK),
        "struct-nulls": (pa.array([{"bytes": None, "path": None}], struct_type), missing),
        "junk": (pa.array([b"junk"], pa.binary()), UNREADABLE),
        "no-bytes": (pa.array([b""], pa.binary()), frozenset({"empty_audio", "missing_value"})),
        "null": (pa.nulls(1), missing),
        "int": (pa.array([5]), no_row),
        "bool": (pa.array([True]), no_row),
        "float": (pa.array([0.5]), no_row),
        "list": (pa.array([["plain.wav"]]), OK),
        "list-gone": (pa.array([["plain.wav", "gone.wav"]]), frozenset({"missing_file"})),
        "map": (pa.array([[("path", "plain.wav")]], pa.map_(pa.string(), pa.string())), no_row),
        "struct-ints": (pa.array([{"bytes": 5, "path": 7}]), no_row),
        "no-calendar": (pa.array([2**62], pa.timestamp("s")), no_row),
        "not-utf8": (not_text, no_row),
    }
    for name, (cell, expected) in cells.items():
        yield Specimen(f"typed-{name}", {"audio": cell}, expected)
    plain, spans = pa.array(["plain.wav"]), frozenset({"bad_span"})
    for name, cell in {"text": pa.array(["soon"]), "list": pa.array([[1.0]]),
                       "huge": pa.array(["1" * 5000]), "date": pa.array([0], pa.date32()),
                       "bytes": pa.array([b"\xff"])}.items():  # fmt: skip
        yield Specimen(f"typed-span-{name}", {"audio": plain, "start_s": cell}, spans)
    beside = {"calendar": pa.array([2**62], pa.timestamp("s")), "utf8": not_text, "id2": plain}
    yield Specimen("typed-beside", {"audio": plain, **beside}, OK)


def _codes(folder: Path) -> Iterator[Specimen]:
    bad, none = frozenset({"bad_codes"}), frozenset({"missing_value"})
    good = [[1, 2, 3, 4, 5, 6, 7, 8]] * 3
    for name, value, expected in (
        ("good", good, OK), ("json-text", json.dumps(good), OK), ("null", None, none),
        ("empty", [], none), ("empty-frames", [[], []], none), ("flat", [1, 2, 3], bad),
        ("ragged", [[1] * 8, [1] * 7], bad), ("nine", [[1] * 9], bad),
        ("negative", [[-1] * 8], bad), ("large", [[70_000] * 8], bad), ("huge", [[2**63] * 8], bad),
        ("floats", [[1.5] * 8], bad), ("whole-floats", [[1.0] * 8], bad),
        ("nan", [[float("nan")] * 8], bad),
        ("bools", [[True] * 8], bad), ("texts", [["1"] * 8], bad), ("nulls", [[None] * 8], bad),
        ("deep", [[[1] * 8]], bad), ("text", "abc", bad), ("html", "<b>", bad), ("int", 5, bad),
        ("dict", {"a": 1}, bad), ("bomb", "[" * 100_000, bad), ("blank", " ", none),
        ("half-null", [[1] * 7 + [None]], bad), ("null-frame", [[1] * 8, None], bad),
    ):  # fmt: skip
        yield Specimen(f"codes-{name}", {"recon_codes": value}, expected)
    wide = pa.ListArray.from_arrays([0, 1], pa.ListArray.from_arrays(
        [0, 9_000_000], pa.array(np.zeros(9_000_000, np.uint16))))  # fmt: skip
    yield Specimen("codes-too-many", {"recon_codes": wide}, frozenset({"too_long"}))
    for name, data, expected in pt_files():
        (folder / f"{name}.pt").write_bytes(data)
        yield Specimen(f"pt-{name}", {"recon_path": str(folder / f"{name}.pt")}, expected)
    for name in ("pipe.wav", "zero.wav", "folder.wav", "huge.wav"):
        closed = frozenset({"unreadable_file", "too_large"})
        yield Specimen(f"pt-{name}", {"recon_path": str(folder / name)}, closed)
    yield Specimen("pt-gone", {"recon_path": "gone.pt"}, frozenset({"missing_file"}))


def _texts() -> Iterator[Specimen]:
    bad, empty = frozenset({"bad_text"}), frozenset({"empty_text"})
    not_utf8 = pa.array([b"\xff"], pa.binary()).view(pa.string())
    for name, value, expected in (
        ("good", "hello", OK), ("number", 5, OK), ("html", "<script>alert(1)</script>", OK),
        ("control", "\0\x1b[31m\x07", OK), ("emoji", "💥\u200d\u202e", OK),
        ("tags", "<|endoftext|>", OK), ("null", None, frozenset({"missing_value"})),
        ("empty", "", empty), ("blank", " \n\t", empty),
        ("wide-blank", "\u3000\u00a0", empty), ("list", ["a"], bad), ("dict", {"a": "b"}, bad),
        ("bool", True, bad), ("bytes", b"abc", bad),
        ("huge", "x" * 20_000_000, frozenset({"too_long"})),
        ("not-utf8", not_utf8, frozenset({"bad_manifest_row"})),
        ("date", pa.array([0], pa.date32()), bad),
    ):  # fmt: skip
        yield Specimen(f"text-{name}", {"text": value}, expected)
    row = {"text": "hi", "instruction": ["a"]}
    yield Specimen("text-instruction", row, bad)


LINES = (
    b"not json", b"[1, 2]", b"5", b"null", b'"text"', b'{"id": "cut', b'{"a":' * 100_000,
    b'{"id": "\xff", "audio": "plain.wav"}', b'{"id": "\\ud800", "audio": "plain.wav"}',
    b'{"id": "s", "audio": "\\udcff.wav"}', b'{"id": "k", "\\udfff": 1}', b"\0", b"{}}", b"NaN",
    b'{"id": [1], "audio": "plain.wav"}', b'{"id": {"a": 1}, "audio": "plain.wav"}',
    b'{"id": 1.5, "audio": "plain.wav"}', b'{"id": true, "audio": "plain.wav"}',
    b'{"id": ' + b"9" * 5000 + b"}", b'{"id": NaN}', b"\x1f\x8b\x08", b"{'id': 1}",
)  # fmt: skip


def make_zoo(folder: Path, seed: int = 0) -> Zoo:
    """Write all files below an empty folder and describe the rows that name them."""
    audio = []
    for name, data, expected in sound_files(seed):
        (folder / name).write_bytes(data)
        audio.append(Specimen(name, {"audio": name}, expected))
    audio += [*_odd_files(folder), *_addresses(folder), *_hostile_ids()]
    return Zoo(folder, audio, list(_typed()), list(_codes(folder)), list(_texts()), list(LINES))


def write_parquet(path: Path, specimens: list[Specimen]) -> None:
    """Audio rows as a typed manifest, audio as a struct and spans as numbers."""
    audio = [{"bytes": None, "path": s.row["audio"]} for s in specimens]
    spans = {name: pa.array([s.row.get(name) for s in specimens], pa.float64())
             for name in ("start_s", "end_s")}  # fmt: skip
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table({"id": [s.id for s in specimens], "audio": pa.array(audio, kind), **spans}), path
    )
