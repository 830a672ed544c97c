"""Settings are closed, and a mistake names its remedy in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.job import JobConfig
from pipelines.config.make_job import make_job
from pipelines.config.settings import SamplingOptions
from pipelines.errors import UsageError
from pipelines.executor.stages import provenance
from uniaudio2.checkpoint.folders import load_config, model_fingerprint, model_folder
from uniaudio2.config import GenerationConfig, ModelConfig

GIVEN = {"task": "asr", "input": "in", "output": "out"}


def test_file_then_set_then_given(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("seed: 1\nmodel: a\nsampling: {top_k: 5, temperature: 0.5}\n")
    job = make_job({**GIVEN, "model": "b"}, str(path), ("sampling.top_k=7", "seed=2"))
    assert (job.seed, job.model) == (2, "b")
    assert (job.sampling.top_k, job.sampling.temperature) == (7, 0.5)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("sampling.topk=5",), "did you mean 'top_k'"),
        (("encoder.min_size=2",), "did you mean 'encode'"),
        (("sampling.temperature=0",), "greater than 0"),
        (("encode.min_size=3", "encode.max_size=2"), "below min_size 3"),
        (("nonsense",), "key=value"),
        (("seed=2", "seed.x=1"), "'seed' is a value"),
        (("max_errors=lots",), "a number of rows or a share like '5%'"),
        (("until=decode",), "task asr has no such stage; one of encode, generate"),
        (("until=load",), "'encode', 'generate' or 'decode'"),
        (("keep=everything",), "'nothing' or 'tokens'"),
    ],
)
def test_mistakes(sets: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_job(GIVEN, None, sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "hint"), [("ars", "'asr'"), ("TTSS", "'TTS'"), ("zz", "valid")])
def test_unknown_tasks_name_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown task '{name}'.*{hint}"):
        make_job({**GIVEN, "task": name})


@pytest.mark.parametrize(
    ("limit", "errors", "done", "hopeless"),
    [
        (None, 99, 99, False), (3, 3, 10, False), (3, 4, 10, True), ("3", 4, 10, True),
        ("5%", 50, 99, False), ("5%", 5, 100, False), ("5%", 6, 100, True), ("0.5%", 1, 100, True),
    ],
)  # fmt: skip
def test_when_a_job_is_past_hope(
    limit: int | str | None, errors: int, done: int, hopeless: bool
) -> None:
    assert JobConfig(**GIVEN, max_errors=limit).exceeds_max_errors(errors, done) == hopeless


def test_published_spellings() -> None:
    assert make_job({**GIVEN, "task": "ASR"}).spec.name == "asr"


@pytest.mark.parametrize(
    ("task", "until", "stages", "output"),
    [
        ("tts", "generate", ("load", "generate"), "codes"),
        ("tts", "decode", ("load", "generate", "decode"), "audio"),
        ("asr", "encode", ("load", "encode"), "codes"),
        ("asr", "generate", ("load", "encode", "generate"), "text"),
        ("speech_s2s", "generate", ("load", "encode", "generate"), "codes"),
        ("reconstruct", "encode", ("load", "encode"), "codes"),
    ],
)
def test_a_job_may_stop_after_a_stage(
    task: str, until: str, stages: tuple[str, ...], output: str
) -> None:
    job = make_job({**GIVEN, "task": task, "until": until})
    assert (job.spec.stages, job.spec.output) == (stages, output)
    assert job.identity() != make_job({**GIVEN, "task": task}).identity()


def test_identity_holds_what_changes_results_and_nothing_else() -> None:
    base = JobConfig(**GIVEN)
    same = JobConfig(**GIVEN, encode={"batch": 3}, max_attempts=5, address="x")
    other = JobConfig(**GIVEN, sampling={"top_k": 3})
    assert base.identity() == same.identity()
    assert base.identity() != other.identity()
    assert base.identity() == JobConfig(**{**GIVEN, "task": "ASR"}).identity()


MODEL = ModelConfig(
    name="m", generation=GenerationConfig(temperature=0.5, guidance=2.0, max_frames=80)
)


def test_sampling_follows_the_task_and_the_model_unless_told() -> None:
    asr = JobConfig(**GIVEN)
    heard = asr.sampling.for_task(asr.spec, MODEL)
    assert (heard.greedy, heard.guidance, heard.max_frames) == (True, 1.0, 80)
    tts = JobConfig(**{**GIVEN, "task": "tts"}, sampling={"max_frames": 9, "top_k": 0})
    spoken = tts.sampling.for_task(tts.spec, MODEL)
    assert (spoken.greedy, spoken.temperature, spoken.guidance) == (False, 0.5, 2.0)
    assert (spoken.max_frames, spoken.top_k) == (9, None)
    told = SamplingOptions(temperature=1.5, guidance=1.0, greedy=True)
    assert told.for_task(tts.spec, MODEL).guidance == 1.0
    assert told.for_task(tts.spec, MODEL).temperature == 1.5


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_config_files_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(UsageError, match="config"):
        make_job(GIVEN, str(tmp_path / "job.yaml"))


def test_a_batch_is_a_number_or_found_out_at_start() -> None:
    job = make_job(GIVEN, sets=("decode.batch=auto", "encode.batch=12"))
    assert (job.decode.batch_size, job.encode.batch_size) == (None, 12)
    for wrong in ("decode.batch=0", "decode.batch=much", "generate.batch=auto"):
        with pytest.raises(UsageError, match=r"(decode|generate)\.batch"):
            make_job(GIVEN, sets=(wrong,))


def test_the_padding_of_the_codec_is_part_of_a_job_s_identity() -> None:
    tight = make_job(GIVEN, sets=("encode.padding=tight",))
    assert tight.identity() != make_job(GIVEN).identity()


def test_a_value_that_is_not_valid_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"encode.padding: 'loose' is not valid: .*'tight'"):
        make_job(GIVEN, sets=("encode.padding=loose",))


def test_published_arithmetic_and_fitted_windows_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="drop one of the two"):
        make_job(GIVEN, sets=("flow.compat=true", "flow.windows=fitted"))


def test_rules_of_the_input_are_set_beside_an_input_that_is_recorded() -> None:
    """As a retry does, whose rows were refused for the places that they name."""
    recorded = {"task": "tts", "input": "a.jsonl", "output": "out"}
    job = make_job({}, sets=("input.allow=[s3://other/]",), recorded=recorded)
    assert (job.input, job.input_rules.allow) == ("a.jsonl", ("s3://other/",))
    assert make_job({}, recorded=recorded).input == "a.jsonl"
    assert make_job({}, sets=("input=b.jsonl",), recorded=recorded).input == "b.jsonl"


def test_maps_are_added_to_those_of_the_settings_and_make_another_job(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("manifest: {map: {text: sentence}, id: place}\n")
    job = make_job(GIVEN, str(path), maps=("audio=my path", "text=a=b"))
    assert job.manifest.names == {"text": "a=b", "audio": "my path"}
    assert (job.manifest.ids, job.manifest.ids_from) == ("place", "")
    assert job.identity()["manifest"] == {"map": job.manifest.map, "id": "place"}
    assert "manifest" not in make_job(GIVEN).identity()
    assert make_job({}, recorded=job.model_dump(mode="json")).manifest == job.manifest


def test_ids_come_from_one_place() -> None:
    column = make_job(GIVEN, maps=("id=place",)).manifest
    assert (column.ids, column.ids_from, column.names) == ("", "place", {})
    assert make_job(GIVEN, sets=("manifest.id=uid",)).manifest.ids_from == "uid"
    for maps, message in (
        (("audio",), "must look like audio=path"),
        (("audio=a", "audio=b"), "given twice"),
        (("id=a",), "leave one out"),
        (("_manifest_fault=a",), "no name for a column"),
    ):
        with pytest.raises(UsageError, match=message):
            make_job(GIVEN, sets=("manifest.id=content",) if "leave" in message else (), maps=maps)


def test_a_precision_that_is_not_exact_is_part_of_a_job_and_of_its_rows() -> None:
    exact = make_job(GIVEN)
    assert "precision" not in exact.identity()  # as runs have it that knew no other
    rounded = make_job(GIVEN, sets=("encode.precision=bfloat16", "decode.precision=bfloat16"))
    assert rounded.spec.stages == ("load", "encode", "generate")
    assert rounded.identity()["precision"] == {"encode": "bfloat16"}
    model = load_config(model_folder("tiny"))
    assert provenance(exact, model) == model_fingerprint(model)
    assert provenance(rounded, model) == f"{model_fingerprint(model)} encode=bfloat16"
