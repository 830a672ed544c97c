"""Addresses that a user gives on the command line or in settings: they are printed and stored, so
they hold no secret, and what cannot serve is refused before anything starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from uniaudio2.shown import LOGIN

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig

_SIGNED = re.compile(
    r"://[^?\s]*\?(.*&)?[\w.-]*(signature|token|credential|password|secret|key|sig)[\w.-]*=",
    re.IGNORECASE,
)
_WEB = ("http://", "https://")


def check_no_secret(what: str, uri: str) -> None:
    """Refuse an address with a login or a signature: it would end up in records and logs.

    Raises:
        UsageError: names the way in which credentials are given.
    """
    if LOGIN.match(uri):
        raise UsageError(
            f"{what} {uri} holds a login, which records and logs would keep; leave it out and give "
            "credentials by the environment, such as AWS_PROFILE, AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY or HF_TOKEN"
        )
    if _SIGNED.search(uri):
        raise UsageError(
            f"{what} {uri} holds a signature or a token, which records and logs would keep; fetch "
            "the file first, or give credentials by the environment"
        )


def check_place(what: str, uri: str) -> None:
    """Refuse an address that cannot be that of a manifest, a model or an OUTPUT.

    Raises:
        UsageError: it holds a secret, or names a web server.
    """
    check_no_secret(what, uri)
    if uri.lower().startswith(_WEB):
        raise UsageError(
            f"{what} {uri}: a web server can neither be listed nor written to; use a local copy or "
            "a store such as s3:// (rows of a manifest may name http addresses)"
        )


def check_addresses(job: JobConfig) -> None:
    """Refuse what a job's own addresses cannot be.

    Raises:
        UsageError: one holds a secret, or INPUT, OUTPUT or the model is no place that can serve.
    """
    for what, uri in (("INPUT", job.input), ("OUTPUT", job.output), ("--model", job.model)):
        check_place(what, uri)
    examples = job.examples.input if job.examples else None
    given = {
        "TASK": job.task, "--address": job.address, "prompts": job.prompts,
        "examples.input": examples, "tts.voices": job.tts.voices,
        "manifest.base": job.manifest.base,
    }  # fmt: skip
    for what, named in given.items():
        check_no_secret(what, named or "")
