"""Check a job before anything is started."""

from __future__ import annotations

import pyarrow as pa

from actors.stages.write import result_fields, travelling_names
from actors.storage.model_hub import pinned
from actors.storage.model_source import local_model
from actors.storage.object_store import Storage
from pipelines.causes import MODEL, reason, stopped
from pipelines.config.job import JobConfig
from pipelines.config.own_addresses import check_addresses
from pipelines.config.prompts import check_prompting
from pipelines.config.scored import check_scorers, transcribes
from pipelines.errors import UsageError
from pipelines.planning.plan import Plan
from pipelines.planning.span_policy import passage_rule, span_rule
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.config import ModelConfig
from uniaudio2.rules.rule import SHORT, Rank, Rule
from uniaudio2.rules.terms import ValueKind
from uniaudio2.rules.words import BadRule
from uniaudio2.scores.table import SCORERS, score_columns
from uniaudio2.shown import quoted


def pinned_job(job: JobConfig) -> JobConfig:
    """The job with its model as it is now: every worker then takes the same commit of it.

    Raises:
        UsageError: an address cannot serve, or nothing is at the model's.
        RunFailed: the hub did not answer.
    """
    check_addresses(job)
    try:
        return job.model_copy(update={"model": pinned(job.model)})
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise stopped(MODEL, f"{job.model}: {reason(fault)}") from fault


def checked_model(job: JobConfig) -> ModelConfig:
    """The model's configuration, with the job's settings checked against it."""
    check_addresses(job)
    try:
        folder = model_folder(local_model(job.model, weights=False))
        config = load_config(folder)
        instructions, examples = job.instructions, job.few_shot_examples  # bad files end it here
        _ = job.voices
        check_scorers(job.spec)
        if ("generate" in job.spec.stages or transcribes(job.spec)) and config.codec_only:
            raise UsageError(
                f"model {job.model!r} is a codec without a language model; task {job.spec.name} "
                "needs one: choose another model, or --until encode"
            )
        if "generate" in job.spec.stages:
            sampling = job.sampling.for_task(job.spec, config)
            sampling.check_vocabulary(config.lm)
            sampling.check_output("text" if job.spec.output == "text" else "audio", job.spec.answer)
            tokenizer = folder / "tokenizer/tokenizer.json"
            check_prompting(job.spec, instructions, examples, sampling, job.seed, config, tokenizer)
            span_rule(job, config)
            passage_rule(job, config)
        check_draws(job, config)
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise stopped(MODEL, f"{job.model}: {reason(fault)}") from fault
    return config


def check_draws(job: JobConfig, model: ModelConfig) -> None:
    """Refuse to make rows again whose every draw would be the first one.

    Raises:
        ValueError: they would, or a rule is asked of what no rule is for.
    """
    if job.verify.rule is not None and job.audio.channel == "each":
        raise ValueError("verify.rule is for rows, and with audio.channel=each one row is several")
    if job.verify.attempts == 1:
        return
    task, makes_text = job.spec, job.spec.output == "text"
    if not {"generate", "decode"} & set(task.stages):
        raise ValueError(
            f"verify.attempts {job.verify.attempts}: task {task.name} draws nothing, so every "
            "attempt is the first; leave it out, and rows are judged once"
        )
    if makes_text and job.sampling.for_task(task, model).greedy:
        raise ValueError(
            f"verify.attempts {job.verify.attempts}: {task.name} takes the most probable text "
            "without any draw, so every attempt is the first; give sampling.greedy=false, or leave "
            "it out"
        )


def check_rule(job: JobConfig, schema: pa.Schema) -> None:
    """Hold the rule of a job against the columns that its results will have.

    Args:
        job: that may have one.
        schema: columns of the manifest that travel through.

    Raises:
        UsageError: it names another column, or compares what cannot be compared.
    """
    asked = job.verify
    if asked.rule is None:
        return
    made = result_fields(job.spec, job.keep == "tokens")
    names = travelling_names([field.name for field in made], schema.names)
    kinds = {names[field.name]: kind_of(field.type) for field in schema}
    unclear = [n for n in asked.names if n in kinds and f"{SHORT}{n}" in {f.name for f in made}]
    if unclear:
        raise UsageError(
            f"verify.rule names {quoted(unclear[0])}, which is a score and a column of INPUT; "
            f"write {SHORT}{unclear[0]}, or give the column another name with --map"
        )
    kinds |= {field.name: kind_of(field.type) for field in made}
    scores = score_columns(list(SCORERS))
    try:
        Rule.of(asked.rule).check(kinds, scores)
        if asked.best is not None:
            Rank.of(asked.best).check(kinds, scores)
    except BadRule as fault:
        raise UsageError(f"verify: {fault}") from fault


def kind_of(kind: pa.DataType) -> ValueKind:
    """What a rule takes the values of a column for."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "truth"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "other"


def check_output_outside_input(job: JobConfig) -> None:
    """Refuse an OUTPUT inside a folder that is INPUT: its files would be input the next time."""
    if Storage(job.output).root.startswith(Storage(job.input).root + "/"):
        raise UsageError(
            f"OUTPUT {job.output} lies inside INPUT {job.input}; results would become input: "
            "choose a folder beside it"
        )


def check_channel_ids(job: JobConfig, plan: Plan) -> None:
    """Refuse ids that the rows of channels would repeat.

    Raises:
        UsageError: there are some.
    """
    if job.audio.channel == "each" and plan.has_channel_ids:
        raise UsageError(
            "with audio.channel=each a row `x` becomes `x/ch0`, `x/ch1`, …, and the manifest has "
            "both ids of that kind and the ids before their /ch: rename one of them"
        )
