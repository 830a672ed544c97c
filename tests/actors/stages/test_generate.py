"""Every task from manifest row to results, through the real stages, without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from torch import Tensor

from actors.batch.unit import UnitSpec, to_stream
from actors.inputs.audio import load_wave
from actors.inputs.few_shot import Example, few_shot_prompt, read_example, zero_codes
from actors.stages.decode import Decoder
from actors.stages.encode import Encoder
from actors.stages.generate import Generator
from actors.stages.load import Loader
from actors.stages.write import Writer
from actors.storage.addresses import AddressPolicy
from tests.actors.outcomes import receipt_of
from tests.conftest import tone, wav_bytes
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.errors import BadRow
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import TASKS, TaskSpec
from uniaudio2.tasks.task_file import parse_task
from uniaudio2.tokens.codes import Codes

MADE = [task for task in TASKS.values() if task.prompt]
ROW = {
    "id": ["a", "b"],
    "audio": [wav_bytes(tone(0.5)), wav_bytes(tone(0.9, hz=700.0))],
    "voice": [wav_bytes(tone(0.4, hz=300.0)), wav_bytes(tone(0.3, hz=200.0))],
    "text": ["hello", "a second text"],
    "caption": ["a dog", "rain"],
    "lyric": ["la", "la la la"],
    "question": ["what?", "who?"],
}
RELAXED = Sampling(max_frames=24)


@lru_cache
def encoder() -> Encoder:
    return Encoder("tiny")


@lru_cache
def decoder() -> Decoder:
    return Decoder("tiny", seed=3, steps=1)


def heard(task: TaskSpec, rows: dict[str, list[Any]] = ROW) -> pa.Table:
    """A unit as it reaches the generator."""
    table = pa.table(rows)
    spec = UnitSpec(0, "", 0, table.num_rows, "", "f", to_stream(table))
    loaded = Loader(task, table.schema.remove(0))(spec.to_table())
    return encoder()(loaded) if "encode" in task.stages else loaded


def results(task: TaskSpec, made: pa.Table, folder: Path) -> list[dict[str, Any]]:
    """What is written of a unit."""
    table = decoder()(made) if "decode" in task.stages else made
    receipt = receipt_of(Writer(str(folder), task, pa.schema([]), "m", 3)(table))
    return [row for part in receipt.data for row in pq.read_table(folder / part).to_pylist()]


@pytest.mark.parametrize("task", MADE, ids=lambda task: task.name)
def test_every_task_runs_from_columns_to_results(task: TaskSpec, tmp_path: Path) -> None:
    made = Generator("tiny", task, RELAXED, seed=3)(heard(task))
    assert made["error_message"].to_pylist() == [None, None]
    rows = results(task, made, tmp_path)
    assert [row["id"] for row in rows] == ["a", "b"]
    for row in rows:
        assert row["finish_reason"] in ("stop", "length")
        assert ("text" in row) == (task.output == "text")
        for number in range(1, task.sounds + 1):
            suffix = "" if number == 1 else f"_{number}"
            for stream in ("reason", "recon"):
                codes = row.get(f"{stream}_codes{suffix}")
                assert (codes is not None) == (stream in task.answer)
                assert codes is None or (len(codes) >= 1 and len(codes[0]) == 8)
                assert codes is None or max(map(max, codes)) < {"reason": 32, "recon": 64}[stream]
            if task.output == "audio":
                info = soundfile.info(tmp_path / row[f"audio_path{suffix}"])
                assert info.frames == 1920 * len(row[f"recon_codes{suffix}"])
                assert row[f"duration_s{suffix}"] == info.frames / 24_000


def test_two_sounds_differ_and_so_do_their_files(tmp_path: Path) -> None:
    task = TASKS["speech_separation"]
    (row, _) = results(task, Generator("tiny", task, RELAXED, seed=3)(heard(task)), tmp_path)
    assert row["audio_path"] != row["audio_path_2"]
    assert row["recon_codes"] != row["recon_codes_2"]


OWN = """
instruction: Whose voice is it?
prompt:
  - {kind: audio_prompt, column: voice}
  - {kind: text, text: "Yes or no:"}
  - {kind: audio, column: audio}
output: text
max_frames: 9
"""


def own_task() -> TaskSpec:
    return parse_task(OWN, "own.yaml")


def test_a_task_of_the_users_own_with_two_audio_columns() -> None:
    task, greedy = own_task(), Sampling(greedy=True, max_frames=9)
    swapped = {**ROW, "voice": ROW["audio"], "audio": ROW["voice"]}
    one = Generator("tiny", task, greedy, seed=0)(heard(task))
    other = Generator("tiny", task, greedy, seed=0)(heard(task, swapped))
    assert one["error_kind"].null_count == 2
    assert one["text"].to_pylist() != other["text"].to_pylist()


def test_a_bad_file_of_another_audio_column_costs_its_row_and_names_the_column() -> None:
    table = heard(own_task(), {**ROW, "voice": [b"no audio", ROW["voice"][1]]})
    assert table["error_kind"].to_pylist() == ["unreadable_audio", None]
    assert table["error_message"][0].as_py().startswith("column 'voice': ")


def test_a_prompt_that_does_not_fit_and_codes_out_of_range_are_told_apart() -> None:
    task = TASKS["speech_s2t"]
    long = heard(task, {**ROW, "audio": [wav_bytes(tone(130.0)), ROW["audio"][1]]})
    made = Generator("tiny", task, RELAXED, seed=0)(long)
    assert made["error_kind"].to_pylist() == ["too_long", None]
    assert "shorten the audio or the text" in made["error_message"][0].as_py()


def test_one_generated_id_and_none_are_texts() -> None:
    generator = Generator("tiny", TASKS["asr"], RELAXED, seed=0)
    assert isinstance(generator.model.text_of([65]), str)
    assert generator.model.text_of([]) == ""


# ---- instructions ----------------------------------------------------------------------------


def asked(generator: Generator, table: pa.Table) -> list[str]:
    """The instructions with which the rows of a unit are asked."""
    said: list[str] = []
    plain = generator.model.request

    def noted(task: TaskSpec, values: Any, instruction: str, *more: Any) -> Any:
        said.append(instruction)
        return plain(task, values, instruction, *more)

    generator.model.request = noted  # type: ignore[method-assign]
    generator(table)
    return said


def test_a_rows_seed_chooses_among_instructions_whatever_stands_beside_it() -> None:
    task, choices = TASKS["tts"], [f"say it so: {n}" for n in range(5)]
    many = {"id": [f"r{n}" for n in range(40)], "text": ["hi"] * 40}
    settings = Sampling(max_frames=5)
    table = heard(task, many)
    said = asked(Generator("tiny", task, settings, 0, choices), table)
    assert set(said) == set(choices)
    alone = asked(Generator("tiny", task, settings, 0, choices), table.slice(7, 2))
    assert alone == said[7:9]
    assert asked(Generator("tiny", task, settings, 1, choices), table) != said


def test_a_rows_own_instruction_comes_first() -> None:
    rows = {"id": ["a", "b"], "text": ["hi", "ho"], "instruction": ["mine", None]}
    table = heard(TASKS["tts"], rows)
    generator = Generator("tiny", TASKS["tts"], RELAXED, 0, ["the job's"])
    assert asked(generator, table) == ["mine", "the job's"]


# ---- worked examples -------------------------------------------------------------------------


def example(number: int, task: TaskSpec, **values: Any) -> Example:
    row = {"audio": wav_bytes(tone(0.3 + number / 10)), "voice": ROW["voice"][0], **values}
    return read_example(row, f"e{number}", "", task, 60)


def test_examples_stand_before_every_row_and_are_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, greedy = own_task(), Sampling(greedy=True, max_frames=9)
    examples = [example(n, task, answer=f"yes {n}") for n in range(2)]
    table = heard(task)
    encoded = []
    plain = UniAudio2.encode

    def noted(self: UniAudio2, clips: Sequence[Tensor], **settings: Any) -> list[Codes]:
        encoded.append(len(clips))
        return plain(self, clips, **settings)

    monkeypatch.setattr(UniAudio2, "encode", noted)
    generator = Generator("tiny", task, greedy, 0, examples=examples, slots=1)
    with_them = generator(table)
    generator(table)
    assert encoded == [4], "all examples in one call, and no row after them"
    assert generator.prefix is not None
    assert generator.engine.engine.prefix_cache.computed_positions == len(generator.prefix)
    without = Generator("tiny", task, greedy, 0)(table)
    assert with_them["text"].to_pylist() != without["text"].to_pylist()
    lengths = few_shot_prompt(
        examples, task, (task.instruction,), 0, generator.model.prompts,
        zero_codes(generator.model.config.codec),
    )  # fmt: skip
    assert len(lengths) == len(generator.prefix), "known beforehand, without the encoder"


def test_examples_of_tasks_that_make_sound() -> None:
    task = TASKS["tts"]
    examples = [example(0, task, text="hello")]
    generator = Generator("tiny", task, RELAXED, 0, examples=examples)
    made = generator(heard(task))
    assert made["error_kind"].null_count == 2
    two = TASKS["speech_separation"]
    sounds = {"answer_audio": ROW["audio"][0], "answer_audio_2": ROW["audio"][1]}
    assert len(example(0, two, **sounds).answer) == 2


def test_examples_count_in_the_context() -> None:
    task = TASKS["asr"]
    codes = {"reason_codes": [[1] * 8] * 500, "recon_codes": [[2] * 8] * 1250}
    examples = [example(0, task, audio=None, text="long", **codes)]
    generator = Generator("tiny", task, Sampling(max_frames=500), 0, examples=examples)
    made = generator(heard(task, {**ROW, "audio": [wav_bytes(tone(20.0)), ROW["audio"][1]]}))
    assert made["error_kind"].to_pylist() == ["too_long", None]
    assert "of them worked examples" in made["error_message"][0].as_py()
    assert made["finish_reason"][1].as_py() in ("stop", "length")


@pytest.mark.parametrize(
    ("task", "values", "words"),
    [
        ("asr", {}, "fill column answer or text"),
        ("asr", {"audio": b"junk", "text": "x"}, "Format not recognised"),
        ("speech_denoise", {}, "fill column answer_audio"),
        ("tts", {"text": " "}, "give a text"),
        ("text_only", {"text": "a"}, "fill column answer"),
    ],
)
def test_bad_examples(task: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRow, match=words):
        example(0, TASKS[task], **values)


@pytest.mark.parametrize(
    "change", [{"text": "other"}, {"instruction": "so"}, {"audio": wav_bytes(tone(0.31))}]
)
def test_what_an_example_says_is_its_fingerprint(change: dict[str, Any]) -> None:
    make: Callable[..., Example] = lambda **more: example(0, TASKS["asr"], **{"text": "a"} | more)  # noqa: E731
    assert make().fingerprint == make().fingerprint
    assert make(**change).fingerprint != make().fingerprint


def test_audio_is_loaded_as_rows_load_it() -> None:
    row = {"audio": ROW["audio"][0], "start_s": 0.1, "end_s": 0.3, "text": "a"}
    loaded = read_example(row, "e", "", TASKS["asr"], 60).values["audio"]
    assert len(loaded) == len(load_wave(row, AddressPolicy(""), 60)) == 4800
