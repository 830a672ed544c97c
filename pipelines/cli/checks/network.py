"""What of the environment sends runs astray on a network: each is a row of `NETWORK`."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from pipelines.cli.checks.check import Check
from pipelines.errors import Told
from uniaudio2.shown import shown

_LOCAL = ("localhost", "127.0.0.1")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HF_ENDPOINT")


def check_proxy() -> Check:
    """A proxy of the environment is not asked for what this machine itself serves."""
    proxies = {scheme: url for scheme, url in urllib.request.getproxies().items() if scheme != "no"}
    if not proxies:
        return Check("proxy", "none is set")
    found = f"{', '.join(f'{scheme} by {shown(url)}' for scheme, url in sorted(proxies.items()))}"
    through = [host for host in _LOCAL if not urllib.request.proxy_bypass(host)]
    if not through:
        return Check("proxy", f"{found}; not for this machine itself")
    found = f"{found}; for {' and '.join(through)}, too"
    remedy = "set NO_PROXY=localhost,127.0.0.1 (and no_proxy, which some programs read)"
    ends = {name: urlsplit(os.environ.get(name, "")).hostname for name in _ENDPOINTS}
    here = [name for name, host in ends.items() if host in _LOCAL]
    if here:
        return Check("proxy", f"{found}, where {' and '.join(here)} leads", remedy)
    hint = f"Ray goes past it; what asks a job server or a store here does not: {remedy}"
    return Check("proxy", found, hint=hint)


def check_ray_address() -> Check:
    """The cluster that RAY_ADDRESS names answers, where it is set."""
    from pipelines.executor.cluster import ADDRESS_VARIABLE, check_reachable

    address = os.environ.get(ADDRESS_VARIABLE)
    if not address:
        return Check("address", f"{ADDRESS_VARIABLE} is not set")
    if "://" in address:
        return Check("address", f"{ADDRESS_VARIABLE} is {shown(address)}: for `run --detach` alone")
    try:
        check_reachable("auto")
    except Told as fault:
        remedy = f"start that cluster, or `unset {ADDRESS_VARIABLE}`: --address auto means it"
        return Check("address", str(fault), remedy)
    hint = "runs without --address start a Ray of their own; --address auto joins this one"
    return Check("address", f"{ADDRESS_VARIABLE}: a cluster answers at {shown(address)}", hint=hint)


NETWORK: tuple[tuple[str, Callable[[], Check]], ...] = (
    ("proxy", check_proxy),
    ("address", check_ray_address),
)
