"""Check a job before anything is started."""

from __future__ import annotations

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
from pipelines.planning.span_policy import span_rule
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.config import ModelConfig


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
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise stopped(MODEL, f"{job.model}: {reason(fault)}") from fault
    return config


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
