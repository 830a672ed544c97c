"""Small corpora, laid out as those that are downloaded, with sounds that can be heard."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import soundfile

from pipelines.config.input_settings import ManifestConfig
from pipelines.planning.plan import Plan, make_plan
from tests.conftest import tone
from uniaudio2.tasks.table import get_task

RATE = 16_000


@functools.cache
def sound(suffix: str, duration_s: float = 0.2) -> bytes:
    """A tone in the format of a suffix."""
    buffer = io.BytesIO()
    kinds = {".opus": ("OGG", "OPUS"), ".sph": ("NIST", "PCM_16"), ".mp3": ("MP3", None)}
    kind, subtype = kinds.get(suffix, (suffix[1:].upper(), None))
    soundfile.write(buffer, tone(duration_s, RATE), RATE, format=kind, subtype=subtype)
    return buffer.getvalue()


def lay_out(root: Path, texts: dict[str, str], sounds: list[str]) -> str:
    """Write a corpus: texts by their names, and sounds."""
    for name, data in {**texts, **{one: sound(Path(one).suffix) for one in sounds}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(root)


def planned(uri: str, corpus: str = "auto", **options: Any) -> Plan:
    """The plan of an INPUT."""
    manifest = ManifestConfig(corpus=corpus)
    return make_plan(uri, get_task("tokenize"), manifest=manifest, **options)


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    """All rows of a plan, in order."""
    return [row for unit in plan.units for row in unit.read().to_pylist()]


def only(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Some cells of a row."""
    return tuple(row.get(name) for name in names)
