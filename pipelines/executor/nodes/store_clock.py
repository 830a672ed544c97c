"""The time by a store's clock: of the header that every answer over HTTP has."""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from actors.storage.addresses import scheme_of

_ANSWER_S = 2.0


def store_ahead_s(uri: str) -> float | None:
    """By how many seconds this machine's clock is ahead of a store's; None where it does not tell.

    One request without credentials: what a server refuses has a date, too.

    Args:
        uri: an address on S3, or a store that speaks as it does, or on Google's.
    """
    endpoint = _endpoint(scheme_of(uri))
    if not endpoint.startswith(("http://", "https://")):
        return None
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=_ANSWER_S) as answer:  # noqa: S310 - http(s) alone
            date = answer.headers["Date"]
    except HTTPError as refused:
        date = refused.headers["Date"]
    except OSError:
        return None
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


def _endpoint(scheme: str) -> str:
    if scheme in ("s3", "s3a"):
        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return own or "https://s3.amazonaws.com"
    return "https://storage.googleapis.com" if scheme in ("gs", "gcs") else ""
